"""A package that brings geo_nemo one thing of each kind; `tests/unit/test_plugins.py` uses it."""
