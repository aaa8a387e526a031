"""Tokenizers behind one face."""
