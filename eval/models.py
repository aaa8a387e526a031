"""What can be evaluated: a training run at a step, an export, any causal language model's folder.

`read_models` turns the setting `runs` into models whose records are read; no weights are loaded.
    runs.a=RUN            its newest whole checkpoint
    runs.a=RUN@200        the checkpoint of step 200;  RUN@all: each one, as models a-200, a-400 ...
    runs.a=FOLDER         of transformers: an export of ours, any causal LM, an adapter of PEFT
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geo_nemo.config import MetadataPolicy, Stage, UserError

Kind = Literal["run", "hugging_face"]
RUN_RECORD, HUB_RECORD, ADAPTER_RECORD = "run.json", "config.json", "adapter_config.json"
ALL = "all"


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

    @property
    def conditioned(self) -> bool:
        """Whether any stage showed metadata."""
        return self.policy is not None

    @property
    def policy(self) -> MetadataPolicy | None:
        """Policy of the first stage that showed metadata."""
        policies = (stage.metadata for stage in self.stages.values())
        return next((policy for policy in policies if policy.fields), None)


def policies(
    models: Mapping[str, Model], given: MetadataPolicy | None
) -> dict[str, MetadataPolicy]:
    """How metadata is shown to each model: as given, else as it was trained.

    A model that never saw metadata is shown it as the first that did.
    """
    if given is not None:
        return dict.fromkeys(models, given)
    first = next((model.policy for model in models.values() if model.policy), MetadataPolicy())
    return {name: model.policy or first for name, model in models.items()}


def read_models(runs: Mapping[str, str]) -> dict[str, Model]:
    """The models that the setting `runs` names; `UserError` for the first that is none."""
    found: dict[str, Model] = {}
    for name, place in runs.items():
        for model in _read(name, place):
            if model.name in found:
                raise UserError(f"runs.{name}={place} gives a model {model.name}, which is there "
                                "already: give one of them another name")  # fmt: skip
            found[model.name] = model
    return found


def _read(name: str, place: str) -> Iterator[Model]:
    from eval.hub import read_hub
    from eval.runs import read_run, steps_of

    folder, step = _split(place)
    where = f"runs.{name}={place}"
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "no such folder"
        raise UserError(f"{where}: {what}; give the output_dir of a training, or a model's folder")
    if (folder / RUN_RECORD).is_file():
        if step == ALL:
            for number in steps_of(name, folder):
                yield read_run(f"{name}-{number}", folder, number)
        else:
            yield read_run(name, folder, None if step is None else int(step))
    elif step is not None:
        raise UserError(f"{where}: @{step} is a step of a training run, and {folder} is none")
    elif any((folder / record).is_file() for record in (HUB_RECORD, ADAPTER_RECORD)):
        yield read_hub(name, folder)
    else:
        raise UserError(
            f"{where} is no model: it has neither {RUN_RECORD} of a training run nor {HUB_RECORD} "
            "of transformers; give the output_dir of a training, or a model's folder"
        )


def folder_of(place: str) -> str:
    """The folder of a value of `runs`, without the step behind it."""
    return str(_split(place)[0])


def _split(place: str) -> tuple[Path, str | None]:
    """A folder and what stands behind its `@`; a folder whose name has one is taken as it is."""
    before, sign, after = place.rpartition("@")
    if sign and before and (after == ALL or after.isdigit()) and not Path(place).exists():
        return Path(before), after
    return Path(place), None
