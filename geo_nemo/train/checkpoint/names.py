"""Under which names a checkpoint holds the weights that a run goes on from; needs no torch."""

from collections.abc import Collection

from geo_nemo.config.average import Weights

AVERAGE = "average"
# What an optimizer's fp32 weights are: the distributed one's, and the other's.
_STEPPED = ("optimizer.state.param", "optimizer.state.fp32_param")


def prefix_of(weights: Weights, names: Collection[str]) -> str:
    """What stands before a parameter's name, of the fp32 weights among a checkpoint's tensors.

    Empty where the model's own are fp32, and the optimizer has no others.
    """
    if weights == "average":
        return AVERAGE
    there = (prefix for prefix in _STEPPED if any(name.startswith(f"{prefix}.") for name in names))
    return next(there, "")
