"""Packed rows beside Megatron-Core's dataset; `command.py` lists the metrics."""
