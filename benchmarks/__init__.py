"""Speed and memory beside other tools: `python -m benchmarks NAME [--quick] --json FILE`.

Every peer runs in the same call, in turn with ours, round by round, each in a process of its own;
values are medians of the rounds. A peer that is not installed is said to be so.
"""
