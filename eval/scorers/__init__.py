"""Models behind one face: what the evaluation asks of a loaded model, and who answers.

`base` is that face. `load` loads a model: ours through Megatron-Core, folders through transformers.
"""
