"""Corpora that a benchmark makes itself: the same numbers give the same bytes everywhere."""
