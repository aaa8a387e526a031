"""Perplexity with, without and with wrong metadata; country questions; the report."""
