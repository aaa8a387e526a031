"""Loss, train step, stages, loop and checkpoints on Megatron-Core's parts."""
