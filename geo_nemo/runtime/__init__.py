"""Devices, process groups, signals, and Megatron-Core on a CPU."""
