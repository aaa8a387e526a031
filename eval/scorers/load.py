"""Loads a model behind the face of `Scorer`."""

from eval.config import EvalConfig
from eval.model import Model
from eval.scorers.base import Scorer
from geo_nemo.config import UserError


def load(model: Model, config: EvalConfig) -> Scorer:
    """The model's weights on the device that the settings name."""
    if model.kind == "run":
        if config.dtype != "fp32":
            raise UserError(
                f"runs.{model.name} is a training run, which is evaluated in fp32: leave out "
                f"dtype={config.dtype}, or give its export"
            )
        from geo_nemo.export.scorer import load_scorer

        return load_scorer(model.folder, config.device, config.weights, model.step)
    from eval.scorers.hub_model import load_hugging_face

    return load_hugging_face(model, config.device, config.dtype)
