"""What can be evaluated: a training run at a step, an export, any causal language model's folder.

`read_models` turns the setting `runs` into models whose records are read; no weights are loaded.
    runs.a=RUN            its newest whole checkpoint
    runs.a=RUN@200        the checkpoint of step 200;  RUN@all: each one, as models a-200, a-400 ...
    runs.a=FOLDER         of transformers: an export of ours, any causal LM, an adapter of PEFT
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from eval.hub import read_hub
from eval.model import ADAPTER_RECORD, HUB_RECORD, RUN_RECORD, Model
from eval.runs import read_run, steps_of
from geo_nemo.config import UserError

ALL = "all"


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
