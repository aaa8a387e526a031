"""Thin adapters: NeMo 2, Megatron-Bridge and NeMo-Run over this project's rows, policy and loss."""
