"""geo_nemo: pre-train language models that know where a text comes from."""

__version__ = "0.1.0"
