"""Which split a document is in, and which documents balance takes out of training."""
