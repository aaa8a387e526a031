"""Stages' documents as packed sequences and batches. NumPy only, no torch."""
