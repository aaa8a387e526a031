"""Trained checkpoints for those who need no Megatron."""
