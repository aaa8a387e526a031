"""An embedding of a document's group, as its country, at the output (LangSAMP, arXiv 2409.18199).

While training, each position's hidden state before the output layer gets the embedding of its group
added, so that the layers below need not hold what the embedding can. It is no part of exports, of
evaluation and of validation: the model that is used is told nothing.
"""

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel

NAME = "group_embedding"


class GroupEmbedding(torch.nn.Module):
    """Rows of zeros at first, [groups, hidden]; `ids` of the micro-batch at work, or None."""

    def __init__(self, num_groups: int, model: GPTModel):
        super().__init__()
        config = model.config
        self.weight = torch.nn.Parameter(
            torch.zeros(num_groups, config.hidden_size, dtype=config.params_dtype)
        )
        self.parts = config.tensor_model_parallel_size if config.sequence_parallel else 1
        # Under sequence parallelism each rank sees some positions: Megatron-Core adds these up.
        self.weight.sequence_parallel = config.sequence_parallel
        self.ids: torch.Tensor | None = None
        model.output_layer.register_forward_pre_hook(self._add)

    def _add(self, layer: torch.nn.Module, inputs: tuple) -> tuple | None:
        """Hidden states [s, b, h], or this tensor-parallel rank's part of s, with it added."""
        if self.ids is None:
            return None
        hidden, *others = inputs
        ids = self.ids.t().long()  # [s, b]
        if self.parts > 1:
            ids = ids.chunk(self.parts)[parallel_state.get_tensor_model_parallel_rank()]
        # Padding has no group.
        added = torch.where((ids >= 0)[..., None], self.weight[ids.clamp(min=0)], 0.0)
        return (hidden + added, *others)


def tell_groups(model: torch.nn.Module, ids: torch.Tensor | None) -> None:
    """The groups of the next micro-batch, [b, s], to a stage that has the embedding."""
    while hasattr(model, "module"):
        model = model.module
    embedding = getattr(model, NAME, None)
    if embedding is not None:
        embedding.ids = ids
