"""Geography, tokenizers, and how a document is composed with its metadata."""
