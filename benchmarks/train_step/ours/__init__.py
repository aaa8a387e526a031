"""Our train step and our saves as contenders: each module runs in a process and prints JSON."""
