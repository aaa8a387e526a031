"""NeMo 2: a data module, a model, an optimizer with our clock, and the recipe of them for any run.

from geo_nemo.integrations.nemo import pretrain
pretrain(["experiment=localization/1b_global_with", "data.store=S", "output_dir=R"])
"""

from geo_nemo.integrations.missing import need

need("nemo.lightning", "nemo-toolkit 2.7.3", "nemo")
need("nemo.collections.llm.api", "nemo-toolkit 2.7.3 with its LLM collection", "nemo")

from geo_nemo.integrations.nemo.data import PackedDataModule  # noqa: E402
from geo_nemo.integrations.nemo.model import ExactGPTModel, ExactLoss, ExactSteps  # noqa: E402
from geo_nemo.integrations.nemo.recipe import pretrain, recipe  # noqa: E402

__all__ = [
    "ExactGPTModel",
    "ExactLoss",
    "ExactSteps",
    "PackedDataModule",
    "pretrain",
    "recipe",
]
