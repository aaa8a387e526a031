"""Llama's shape as Megatron-Core's GPTModel; attention inside documents."""
