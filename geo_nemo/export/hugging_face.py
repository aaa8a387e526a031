"""Writes a checkpoint as a Llama in Hugging Face's format.

    config.json, generation_config.json
    model.safetensors, or model-00001-of-00004.safetensors .. and model.safetensors.index.json
    tokenizer.json, tokenizer_config.json, and the tokenizer's own file
    README.md          how it was trained, and how to tell it where a text is from
    training.json      the same for programs: run, step, stages, ledger, hashes

The folder is built as `<out>.partial` and renamed. A file of weights has its own name there when it
is whole, so that an export that was stopped goes on behind it.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from geo_nemo.config import Checkpoint, Model, UserError
from geo_nemo.config.average import Weights
from geo_nemo.config.files import make_folder, partial_of, sync_folder, sync_tree, writing
from geo_nemo.config.lock import LOCK_NAME, folder_lock
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.config.remote import is_remote
from geo_nemo.export.card import card
from geo_nemo.export.settings import generation_settings, model_settings, training_record
from geo_nemo.export.source import Source
from geo_nemo.export.tokenizer_files import write_tokenizer
from geo_nemo.export.weights import CheckpointWeights
from geo_nemo.model.hugging_face_names import (
    EMBEDDING,
    OUTPUT,
    Parameter,
    parameters,
    split,
    tensor_names,
    tensor_shapes,
)
from geo_nemo.runtime.distributed import ensure_single_process
from geo_nemo.train.checkpoint_files import content_problem

Dtype = Literal["bf16", "fp32"]
FILE_BYTES = 5_000_000_000
RECORD, INDEX, FETCHED = "training.json", "model.safetensors.index.json", "checkpoint"
_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class Exported:
    """was_there: the folder held this very export before."""

    has_tokenizer_json: bool
    was_there: bool


def export(
    source: Source,
    out: Path,
    dtype: Dtype,
    weights: Weights = "trained",
    progress: Progress = no_progress,
) -> Exported:
    """Write `source` to `out`. Raises `UserError`; the same call then goes on where it was.

    A checkpoint on `s3://` is fetched first, beside `out`.
    """
    record = training_record(source, dtype, weights)
    plan = Plan(source.run.model, source.tokenizer.vocab_size, dtype)
    if check_out(out, record):
        return Exported((out / "tokenizer.json").is_file(), was_there=True)
    if not is_remote(source.place):
        _compare(Path(source.place), progress)
    partial = partial_of(out)
    with folder_lock(partial), writing(partial):
        _keep_only_of(partial, record, plan)
        checkpoint = _on_disk(source, partial, progress)
        read = CheckpointWeights(checkpoint, plan.model, plan.vocab_size, weights)
        _write_weights(partial, plan, read, progress)
        if is_remote(source.place):
            shutil.rmtree(checkpoint.parent)
        has_json = write_tokenizer(partial, source)
        _write_json(partial / "config.json", model_settings(source, dtype))
        _write_json(partial / "generation_config.json", generation_settings(source.tokenizer))
        (partial / "README.md").write_text(card(source, record, has_json), "utf-8")
        sync_tree(partial)
        if out.is_dir():
            out.rmdir()  # an empty one of the user's
        (partial / LOCK_NAME).unlink()
        os.replace(partial, out)
        sync_folder(out.parent)
    return Exported(has_json, was_there=False)


def check_out(out: Path, record: Mapping[str, Any]) -> bool:
    """Whether `out` is this export, whole; `UserError` where it is anything else but empty."""
    try:
        if json.loads((out / RECORD).read_bytes()) == record:
            return True
    except (OSError, ValueError):
        pass
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already: remove it, or give another --out")
    return False


class Plan:
    """Which parameters are in which file, and what they come to."""

    def __init__(self, model: Model, vocab_size: int, dtype: Dtype):
        self.model = model
        self.vocab_size = vocab_size
        self.dtype = _TYPES[dtype]
        self.shapes = tensor_shapes(model, vocab_size)
        self.parameters = sum(map(self._count, self.shapes))
        self.bytes = self.parameters * self.dtype.itemsize
        self._groups = self._grouped()

    def files(self) -> dict[str, list[Parameter]]:
        """Parameters by the name of their file."""
        count = len(self._groups)
        if count == 1:
            return {"model.safetensors": self._groups[0]}
        return {
            f"model-{number:05d}-of-{count:05d}.safetensors": group
            for number, group in enumerate(self._groups, start=1)
        }

    def size(self, group: list[Parameter]) -> int:
        """Bytes of the tensors of parameters."""
        return sum(self._count(n) for each in group for n in tensor_names(*each)) * (
            self.dtype.itemsize
        )

    def _count(self, name: str) -> int:
        return torch.Size(self.shapes[name]).numel()

    def _grouped(self) -> list[list[Parameter]]:
        groups, size = [[]], 0
        for each in parameters(self.model):
            nbytes = self.size([each])
            if groups[-1] and size + nbytes > FILE_BYTES:
                groups.append([])
                size = 0
            groups[-1].append(each)
            size += nbytes
        return groups


def _keep_only_of(partial: Path, record: Mapping[str, Any], plan: Plan) -> None:
    """Empty the folder, but for what is whole of the same export that was stopped."""
    kept = {LOCK_NAME}
    try:
        if json.loads((partial / RECORD).read_bytes()) == record:
            kept |= {RECORD, FETCHED, *plan.files()}
    except (OSError, ValueError):
        pass
    for path in partial.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _write_json(partial / RECORD, record)


def _compare(checkpoint: Path, progress: Progress) -> None:
    """Raise `UserError` unless every byte of it is as it was written."""
    if damage := content_problem(checkpoint, progress=progress):
        raise UserError(f"{checkpoint} is not whole: {damage}; give an earlier one in its place")


def _on_disk(source: Source, partial: Path, progress: Progress) -> Path:
    if not is_remote(source.place):
        return Path(source.place)
    device = torch.device("cpu")
    ensure_single_process(device, source.run.seed)
    from geo_nemo.train.checkpoint_copies import Copies

    parent, _, name = source.place.rpartition("/")
    folder = partial / FETCHED
    make_folder(folder)
    copies = Copies(Checkpoint(remote=parent), device)
    if damage := copies.fetch(name, folder, progress):
        raise UserError(f"{source.place} is not whole: {damage}")
    return folder / name


def _write_weights(
    folder: Path, plan: Plan, weights: CheckpointWeights, progress: Progress
) -> None:
    done, places = 0, {}
    for file, group in plan.files().items():
        places |= {name: file for each in group for name in tensor_names(*each)}
        path = folder / file
        if not path.exists():
            tensors = {}
            for each, whole in weights.read(group):
                progress(f"write {file}", done, plan.bytes)
                tensors |= _tensors(plan, each, whole)
                done += plan.size([each])
            _save(path, tensors)
        else:
            done += plan.size(group)
    progress(f"write {file}", done, plan.bytes)
    if len(plan.files()) > 1:
        sizes = {"total_size": plan.bytes, "total_parameters": plan.parameters}
        _write_json(folder / INDEX, {"metadata": sizes, "weight_map": places})


def _tensors(plan: Plan, parameter: Parameter, whole: torch.Tensor) -> dict[str, torch.Tensor]:
    """The tensors of a parameter, each with storage of its own."""
    names = tensor_names(*parameter)
    if names[0] in (EMBEDDING, OUTPUT):
        whole = whole[: plan.vocab_size]  # the rest is padding
    if not torch.isfinite(whole).all():
        raise UserError(f"{names[0]} has numbers that are not finite: export an earlier checkpoint")
    parts = split(plan.model, parameter.name, whole)
    return {
        name: part.to(plan.dtype, copy=True, memory_format=torch.contiguous_format)
        for name, part in zip(names, parts, strict=True)
    }


def _save(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    partial = partial_of(path)
    try:
        save_file(tensors, partial, metadata={"format": "pt"})
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error}; mend that and run it again") from None
    shutil.copymode(path.parent / RECORD, partial)  # the library keeps it to its owner
    os.replace(partial, path)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
