"""Text to tokens, once: the tokenizer, the shards of the token store, and the store itself."""
