"""Writes a checkpoint as a Llama, or Qwen 2.5 or 3, in Hugging Face's format.

    config.json, generation_config.json
    model.safetensors, or model-00001-of-00004.safetensors .. and model.safetensors.index.json
    tokenizer.json, tokenizer_config.json, chat_template.jinja, and the tokenizer's own file
    README.md          how it was trained, and how to tell it where a text is from
    hosts.csv          whose documents it read, where the run's store is at hand
    training.json      the same for programs: run, step, stages, ledger, hashes, sizes of the files

The folder is built as `<out>.partial` and renamed. A file of weights has its own name there when it
is whole, so that an export that was stopped goes on behind it.
"""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from geo_nemo.common.addresses import is_remote
from geo_nemo.common.files import (
    keep,
    make_folder,
    partial_of,
    sync_file,
    sync_folder,
    sync_tree,
    writing,
)
from geo_nemo.common.folders import name_folder
from geo_nemo.common.lock import LOCK_NAME, folder_lock
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Checkpoint, UserError
from geo_nemo.config.average import Weights
from geo_nemo.export.card import NOTHING_SAID, About, card
from geo_nemo.export.hosts import NAME as HOSTS
from geo_nemo.export.hosts import hosts_of
from geo_nemo.export.libraries import writing_weights
from geo_nemo.export.place import (
    BEGUN,
    FETCHED,
    RECORD,
    Exported,
    check_out,
    keep_only_of,
    sizes_of,
    write_json,
)
from geo_nemo.export.plan import Dtype, Plan
from geo_nemo.export.settings import generation_settings, model_settings, training_record
from geo_nemo.export.source import Source
from geo_nemo.export.tokenizer_files import FOR_QWENS, taken_for_qwens, write_tokenizer
from geo_nemo.export.weights import CheckpointWeights
from geo_nemo.model.hugging_face import INDEX
from geo_nemo.model.hugging_face_names import EMBEDDING, OUTPUT, Parameter, split, tensor_names
from geo_nemo.runtime.distributed import ensure_single_process
from geo_nemo.train.checkpoint.files import content_problem
from geo_nemo.train.hosts import as_csv


def export(
    source: Source,
    out: Path,
    dtype: Dtype,
    weights: Weights = "trained",
    progress: Progress = no_progress,
    about: About = NOTHING_SAID,
    setting: str = "--out",
) -> Exported:
    """Write `source` to `out`. Raises `UserError`; the same call then goes on where it was.

    A checkpoint on `s3://` is fetched first, beside `out`. setting: what the user gives `out` as,
    for messages.
    """
    record = training_record(source, dtype, weights)
    plan = Plan(source.run.model, source.vocab_size, dtype)
    partial = partial_of(out)
    if there := check_out(out, record, setting):
        return there
    with folder_lock(partial), writing(partial):
        if there := check_out(out, record, setting):  # another process has written it meanwhile
            shutil.rmtree(partial)
            return there
        keep_only_of(partial, record, plan)
        checkpoint = _on_disk(source, partial, progress)
        read = CheckpointWeights(checkpoint, plan.model, plan.vocab_size, weights)
        _write_weights(partial, plan, read, progress)
        if is_remote(source.place):
            shutil.rmtree(checkpoint.parent)
        backend = write_tokenizer(partial, source)
        write_json(partial / "config.json", model_settings(source, dtype))
        write_json(partial / "generation_config.json", generation_settings(source.tokenizer))
        hosts = hosts_of(source)
        if hosts is not None:
            (partial / HOSTS).write_text(as_csv(hosts), "utf-8")
        (partial / "README.md").write_text(card(source, record, backend, about, hosts), "utf-8")
        (partial / BEGUN).unlink()
        write_json(partial / RECORD, {**record, "files": sizes_of(partial)})
        sync_tree(partial)
        name_folder(partial, out)
        (out / LOCK_NAME).unlink()
        sync_folder(out)
    for_qwens = backend is not None and taken_for_qwens(source.run.model, backend)
    return Exported(backend is not None, was_there=False, note=FOR_QWENS if for_qwens else "")


def _compare(checkpoint: Path, progress: Progress) -> None:
    """Raise `UserError` unless every byte of it is as it was written."""
    if damage := content_problem(checkpoint, progress=progress):
        raise UserError(f"{checkpoint} is not whole: {damage}; give an earlier one in its place")


def _on_disk(source: Source, partial: Path, progress: Progress) -> Path:
    if not is_remote(source.place):
        _compare(Path(source.place), progress)
        return Path(source.place)
    device = torch.device("cpu")
    ensure_single_process(device, source.run.seed)
    from geo_nemo.train.checkpoint.copies import Copies

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
        write_json(folder / INDEX, {"metadata": sizes, "weight_map": places})


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
        with writing_weights(path):
            save_file(tensors, partial, metadata={"format": "pt"})
    except UserError:
        partial.unlink(missing_ok=True)
        raise
    shutil.copymode(path.parent / BEGUN, partial)  # the library keeps it to its owner
    sync_file(partial)
    keep(path)
