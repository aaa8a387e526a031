"""Other tools as contenders: each module runs in a process of its own and prints JSON."""
