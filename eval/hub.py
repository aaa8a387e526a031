"""Folders in the format of transformers: exports of ours, models of somebody else's, adapters.

Only local folders are read, and no code that stands in them.
"""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from eval.model import ADAPTER_RECORD, HUB_RECORD, Model
from geo_nemo.common.files import read_json
from geo_nemo.config import Stage, UserError

EXPORT_RECORD = "training.json"
# A model that names no length of its own, as those without positions, takes this much.
DEFAULT_LENGTH = 2048
_LENGTHS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_STAGES = TypeAdapter(dict[str, Stage])


def read_hub(name: str, folder: Path) -> Model:
    """The model in `folder`; UserError where its files are not those of a causal LM."""
    where = f"runs.{name}={folder}"
    base = base_of(where, folder)
    config = read_json(base / HUB_RECORD, f"give {where} a whole model's folder")
    if config.get("is_encoder_decoder"):
        raise UserError(f"{where} is an encoder and a decoder: give a causal language model")
    for place in dict.fromkeys((base, folder)):
        if not any(place.glob("*.safetensors")):
            pickled = any(place.glob("*.bin"))
            how = (
                "its weights are pickled, which may run code: convert them to safetensors"
                if pickled
                else f"{place} has no *.safetensors: give a whole model's folder"
            )
            raise UserError(f"{where}: {how}")
    told = read_json(base / EXPORT_RECORD, "") if (base / EXPORT_RECORD).is_file() else {}
    length = told.get("sequence_length") or _length(config)
    return Model(
        name=name, folder=folder, kind="hugging_face", checkpoint=folder.name,
        step=told.get("step"), steps=None, identity=_identity({base, folder}),
        seq_length=int(length), stages=_stages(base, told),
        store_hash=str(told.get("fingerprint", {}).get("store", "")),
        tokenizer_sha256=str(told.get("fingerprint", {}).get("tokenizer", "")),
        tuned=base != folder,
    )  # fmt: skip


def base_of(where: str, folder: Path) -> Path:
    """The folder of the whole model: an adapter names that of the model which it changes."""
    if not (folder / ADAPTER_RECORD).is_file() or (folder / HUB_RECORD).is_file():
        return folder
    record = read_json(folder / ADAPTER_RECORD, "give a whole adapter's folder")
    named = str(record.get("base_model_name_or_path", ""))
    for base in (Path(named), folder / named):
        if named and (base / HUB_RECORD).is_file():
            return base
    raise UserError(
        f"{where} is an adapter of {named or 'no model'}, which is no folder here: put the model's "
        f"folder as base_model_name_or_path into its {ADAPTER_RECORD}"
    )


def _length(config: dict[str, Any]) -> int:
    for part in (config, config.get("text_config") or {}):
        for key in _LENGTHS:
            if isinstance(part.get(key), int) and part[key] > 0:
                return part[key]
    return DEFAULT_LENGTH


def _stages(folder: Path, told: dict[str, Any]) -> dict[str, Stage]:
    try:
        return _STAGES.validate_python(told.get("stages", {}))
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder / EXPORT_RECORD} is of another version ({reason})") from None


def _identity(folders: set[Path]) -> str:
    """Hash of the settings, and of name, size and time of the files of weights."""
    digest = hashlib.sha256()
    for folder in sorted(folders):
        for record in (HUB_RECORD, ADAPTER_RECORD):
            if (folder / record).is_file():
                digest.update((folder / record).read_bytes())
        for path in sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern)):
            stat = path.stat()
            digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
