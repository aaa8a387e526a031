"""How a model is laid over processes, and what each keeps.

Which layouts fit a model, a batch and a number of processes: geo_nemo.model.layout.
"""

from typing import Annotated, Literal

from pydantic import Field

from geo_nemo.config.section import Positive, Section


class Parallel(Section):
    """Sizes of the parallel dimensions; the data-parallel size is what remains.

    tensor: ranks over which heads, ffn and vocabulary are divided.
    pipeline: ranks over which the layers are divided.
    virtual_pipeline: chunks of layers a pipeline rank holds; above 1 the schedule is interleaved,
        which makes the pipeline's bubble smaller by that factor and needs more messages.
    context: ranks over which the tokens of a sequence are divided.
    sequence_parallel: norms and residuals, too, are divided over the tensor ranks, by tokens.
    recompute: `full` keeps the input of each layer alone, and computes the layer again for its
        gradients: far less memory, for about a third more work. Losses are the same. `selective`
        does so with `recompute_modules` of each layer alone.
    recompute_modules: `mlp`: gate, up and their product, most of a layer's memory, for about a
        fifth more work. `core_attn`: queries against keys, of use only where attention is not
        fused.
    gradient_accumulation_fusion: on a GPU, weight gradients are added to their buffer where they
        are made: by Transformer Engine's layers, and by the output layer where Apex is there; on a
        CPU in fp32 they always are.
    """

    tensor: Positive = 1
    pipeline: Positive = 1
    virtual_pipeline: Positive = 1
    context: Positive = 1
    sequence_parallel: bool = False
    recompute: Literal["none", "full", "selective"] = "none"
    recompute_modules: Annotated[tuple[Literal["core_attn", "mlp"], ...], Field(min_length=1)] = (
        "mlp",
    )
    gradient_accumulation_fusion: bool = False
    distributed_optimizer: bool = True
    overlap_grad_reduce: bool = False
    overlap_param_gather: bool = False

    @property
    def model_parallel_size(self) -> int:
        """Processes that work on one micro-batch together."""
        return self.tensor * self.pipeline * self.context

    def data_parallel_size(self, world_size: int) -> int:
        """Groups of processes that work on micro-batches of their own."""
        return world_size // self.model_parallel_size


class StageParallel(Section):
    """What of `parallel` is another in one stage; the rest is the run's.

    Where the next stage has another layout, `geo-nemo train` saves and ends with code 75, and the
    same command goes on in the next one, as a job of `geo-nemo launch` does by itself.
    """

    tensor: Positive | None = None
    pipeline: Positive | None = None
    virtual_pipeline: Positive | None = None
    context: Positive | None = None
    sequence_parallel: bool | None = None
    recompute: Literal["none", "full", "selective"] | None = None

    def within(self, parallel: Parallel) -> Parallel:
        """The stage's layout, from the run's."""
        return parallel.model_copy(update=self.model_dump(exclude_none=True))
