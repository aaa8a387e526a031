"""Our evaluation as a contender: each module runs in a process of its own and prints JSON."""
