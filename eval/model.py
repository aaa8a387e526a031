"""A model that is evaluated, before its weights are loaded, and how it is told metadata."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from eval.trained import Trained
from geo_nemo.config import MetadataPolicy, Stage

Kind = Literal["run", "hugging_face"]
RUN_RECORD, HUB_RECORD, ADAPTER_RECORD = "run.json", "config.json", "adapter_config.json"


@dataclass(frozen=True)
class Model:
    """A model before its weights are loaded.

    folder: of the run, or of the model's files. checkpoint: name of what is loaded.
    step, steps: optimizer steps that it has behind it, and of its whole training; None: not known.
    identity: changes whenever the weights do. seq_length: longest text that it takes, tokens.
    stages: what it was trained on, where that is known; empty for a model of somebody else's.
    store_hash, tokenizer_sha256: of what it was trained on; empty where not known.
    averaged: the run keeps an average of the weights. store: where its tokenizer is; a run's.
    tuned: by an adapter that is no part of `stages`. groups: fields that its losses are told by.
    trained: a run's place in an experiment; None of a model in the format of transformers.
    """

    name: str
    folder: Path
    kind: Kind
    checkpoint: str
    step: int | None
    steps: int | None
    identity: str
    seq_length: int
    stages: Mapping[str, Stage] = field(default_factory=dict)
    store_hash: str = ""
    tokenizer_sha256: str = ""
    averaged: bool = False
    store: str = ""
    tuned: bool = False
    groups: tuple[str, ...] = ()
    trained: Trained | None = None

    @property
    def conditioned(self) -> bool:
        """Whether any stage showed metadata."""
        return self.policy is not None

    @property
    def placebo(self) -> bool:
        """Whether its metadata were those of other documents."""
        return self.policy is not None and self.policy.placebo

    @property
    def policy(self) -> MetadataPolicy | None:
        """Policy of the first stage that showed metadata."""
        policies = (stage.metadata for stage in self.stages.values())
        return next((policy for policy in policies if policy.fields), None)


def policies(
    models: Mapping[str, Model], given: MetadataPolicy | None
) -> dict[str, MetadataPolicy]:
    """How metadata is shown to each model: as given, else as it was trained.

    A model that never saw metadata is shown it as the first that did. Meta-tokens are a model's
    own, whoever gives the policy: as many as its last stage had.
    """
    first = next((model.policy for model in models.values() if model.policy), MetadataPolicy())
    return {
        name: _with_meta_tokens(given or model.policy or first, model)
        for name, model in models.items()
    }


def _with_meta_tokens(policy: MetadataPolicy, model: Model) -> MetadataPolicy:
    last = next(reversed(model.stages.values()), None)
    count = last.metadata.meta_tokens if last is not None else 0
    return (
        policy if policy.meta_tokens == count else policy.model_copy(update={"meta_tokens": count})
    )


def with_full_url(policy: MetadataPolicy) -> MetadataPolicy:
    """The policy, but with the whole URL where it has one."""
    return policy.model_copy(update={"url_form": "full"}) if "url" in policy.fields else policy
