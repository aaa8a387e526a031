"""What users may bring to a training, and what there is of it."""

from typing import Annotated, Any

from pydantic import AfterValidator, ValidationInfo

from geo_nemo.config.plugins import Kind
from geo_nemo.config.section import PluginName

# The context of a config that a user has just written: its names are looked up. One that a run kept
# is read wherever its packages may be absent; who needs them says so.
WRITTEN = {"written": True}

PACKINGS = Kind(
    "packing",
    "geo_nemo.packings",
    {
        "best_fit": "geo_nemo.data.packing:BestFit",
        "by_length": "geo_nemo.data.by_length:ByLength",
        "concat": "geo_nemo.data.concat:Concat",
    },
    methods=("pack",),
)
SAMPLERS = Kind(
    "sampler",
    "geo_nemo.samplers",
    {
        "as_they_are": "geo_nemo.data.mixing:as_they_are",
        "weights": "geo_nemo.data.mixing:by_weights",
        "temperature": "geo_nemo.data.mixing:by_temperature",
        "related": "geo_nemo.data.related:related",
        "unimax_epochs": "geo_nemo.data.mixing:by_unimax",
    },
    methods=("window",),
)


def _known(kind: Kind) -> AfterValidator:
    def check(name: str, info: ValidationInfo) -> Any:
        return kind.check(name) if info.context == WRITTEN else name

    return AfterValidator(check)


PackingName = Annotated[PluginName, _known(PACKINGS)]
SamplerName = Annotated[PluginName, _known(SAMPLERS)]
