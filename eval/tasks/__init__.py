"""Task files for lm-evaluation-harness, and how their documents are read."""
