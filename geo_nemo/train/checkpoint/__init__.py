"""Checkpoints: written, found, copied, read back, whole or absent."""
