"""Texts that a model writes, by what it is told; the generation is that of transformers."""
