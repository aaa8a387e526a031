"""In which number formats a run computes: BF16 or fp32, FP8 on top of BF16, AdamW's moments.

Which chip and which sizes FP8 asks for: geo_nemo.model.fp8 and geo_nemo.runtime.chip.
"""

from typing import Annotated, Literal

from pydantic import model_validator

from geo_nemo.config.section import FREE, NonNegative, Positive, Section


class FP8(Section):
    """Matrix products of the layers in 8 bits, by Transformer Engine, on a GPU.

    The embedding, norms, residuals and the output layer stay in BF16; weights and gradients are
    summed up in fp32 as without it.

    recipe: how a tensor's scale is found. `delayed`: from the largest values of earlier steps.
        `tensorwise`: from the tensor itself. `blockwise`: each block of 128 (weights: 128 x 128)
        has its own. `mxfp8`: each 32 values have their own, which Blackwell alone multiplies.
        `nvfp4`: 4 bits, and each 16 values have their own; of Blackwell alone, too.
    format: `e4m3` for all, or `hybrid`, with gradients in e5m2: more range, fewer digits.
    first_layers_in_bf16, last_layers_in_bf16: number of layers; not with `delayed`.
    parameters: weights of the layers are kept in FP8, beside the optimizer's fp32 ones.
    attention: type of the products of attention scores.
    margin, amax_history_len, amax_compute_algo: of `delayed` alone. A scale leaves 2^margin of
        room; it follows the largest (`max`) or the newest value of that many micro-steps.
    """

    recipe: Literal["none", "delayed", "tensorwise", "blockwise", "mxfp8", "nvfp4"] = "none"
    format: Literal["hybrid", "e4m3"] = "hybrid"
    first_layers_in_bf16: NonNegative = 0
    last_layers_in_bf16: NonNegative = 0
    parameters: bool = False
    attention: Literal["bf16", "fp8"] = "bf16"
    margin: NonNegative = 0
    amax_history_len: Positive = 1024
    amax_compute_algo: Literal["max", "most_recent"] = "max"

    @property
    def on(self) -> bool:
        """Whether anything is computed in FP8."""
        return self.recipe != "none"

    @model_validator(mode="after")
    def _of_the_recipe(self):
        changed = [name for name, field in type(self).model_fields.items()
                   if name != "recipe" and getattr(self, name) != field.default]  # fmt: skip
        if not self.on and changed:
            raise ValueError(f"{', '.join(changed)} given, and recipe is none: choose a recipe")
        history = {"margin", "amax_history_len", "amax_compute_algo"} & set(changed)
        if self.recipe != "delayed" and history:
            raise ValueError(f"{', '.join(sorted(history))} is of the recipe delayed alone")
        if self.recipe == "delayed" and (self.first_layers_in_bf16 or self.last_layers_in_bf16):
            raise ValueError(
                "the recipe delayed takes all layers: its scales are found for all at once; "
                "give first_layers_in_bf16=0 last_layers_in_bf16=0, or recipe=tensorwise"
            )
        if self.recipe == "nvfp4" and self.format != "hybrid":
            raise ValueError("format is of 8 bits, and nvfp4 has one of its own: leave it out")
        if self.recipe in ("mxfp8", "nvfp4") and self.parameters:
            raise ValueError(
                f"parameters=true with {self.recipe} is not supported: Megatron-Core gathers such "
                "weights through the gradients' buffer; give parameters=false"
            )
        return self


class Precision(Section):
    """Compute type; parameters are kept in fp32 by the optimizer.

    moments: type of AdamW's two moments; `bf16` halves them, on a GPU, under the distributed
        optimizer. Checkpoints hold them in fp32 either way.
    """

    dtype: Literal["fp32", "bf16"] = "bf16"
    # Weights, fp32 weights and moments are saved alike with and without it.
    moments: Annotated[Literal["fp32", "bf16"], FREE] = "fp32"
    fp8: Annotated[FP8, FREE] = FP8()

    @model_validator(mode="after")
    def _fp8_on_top_of_bf16(self):
        if self.dtype == "fp32":
            if self.fp8.on:
                raise ValueError(f"fp8.recipe={self.fp8.recipe} needs dtype=bf16")
            if self.moments != "fp32":
                raise ValueError("moments=bf16 needs dtype=bf16")
        return self
