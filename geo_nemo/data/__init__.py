"""Stages' documents as packed rows and batches. NumPy only, no torch."""
