"""Instruction tuning of an export by TRL and PEFT; ours are the records and their metadata."""
