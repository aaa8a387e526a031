"""Tests against the real classes of NeMo 2, NeMo-Run and Megatron-Bridge: make test-nemo."""
