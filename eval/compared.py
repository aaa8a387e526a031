"""Which comparisons models allow, by what they were trained on and what they are shown."""

from collections.abc import Mapping, Sequence

from eval.conditions import BARE, off_distribution
from eval.config import Condition
from eval.matrix import Effect, effects
from eval.model import Model
from geo_nemo.config import MetadataPolicy


def effects_of(
    conditions: Sequence[Condition],
    models: Mapping[str, Model],
    policies: Mapping[str, MetadataPolicy],
) -> list[Effect]:
    """The comparisons of models under conditions, of texts or of questions.

    policies: how metadata is shown to each model.
    """
    return effects(
        conditions,
        conditioned={name: model.conditioned for name, model in models.items()},
        foreign=[name for name, model in models.items() if not model.stages],
        bare=_bare(conditions, models, policies),
        placebo=[name for name, model in models.items() if model.placebo],
        no_labels=[name for name, policy in policies.items() if policy.text_alike(BARE)],
    )


def _bare(
    conditions: Sequence[Condition],
    models: Mapping[str, Model],
    policies: Mapping[str, MetadataPolicy],
) -> list[str]:
    """Models that know bare text and no labels, where bare text is a condition."""
    return [
        name
        for name, model in models.items()
        if "plain" in conditions
        and not off_distribution("plain", model, policies[name])
        and off_distribution("without", model, policies[name])
    ]
