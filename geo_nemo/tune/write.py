"""Writes a tuned model: a folder that loads anywhere, and for LoRA the adapter in it."""

import json
import shutil
from pathlib import Path
from typing import Any

from geo_nemo import __version__
from geo_nemo.common.counts import plural
from geo_nemo.common.files import read_json, write_whole
from geo_nemo.config.tune import Tune
from geo_nemo.export.adapters import TUNED
from geo_nemo.export.chat import NAME as TEMPLATE
from geo_nemo.export.loaded import Folder, tokenizer_place, weights_of
from geo_nemo.export.place import sizes_of
from geo_nemo.train.origin import EXPORTED
from geo_nemo.tune.encode import Encoded
from geo_nemo.tune.show import HOW

ADAPTER_FOLDER = "adapter"
# Of the folder that was tuned; transformers writes these anew, or not at all.
_NOT_COPIED = (".safetensors", ".safetensors.index.json", ".bin", ".lock")


def write_model(
    place: Path,
    config: Tune,
    folder: Folder,
    tokenizer: Any,
    model: Any,
    record: dict[str, Any],
) -> None:
    """Fill `place`, an empty folder."""
    import torch

    dtype = getattr(torch, folder.dtype)
    adapter = config.method == "lora"
    if adapter and not folder.is_adapter:  # on top of another it would have no base
        where = place / ADAPTER_FOLDER if config.lora.merge else place
        model.save_pretrained(where, safe_serialization=True)
        (where / "README.md").unlink(missing_ok=True)  # names the machine's folder
        _write_json(where / TUNED, record)
    if not adapter or config.lora.merge:
        whole = model.merge_and_unload() if adapter else model
        whole.to(dtype).save_pretrained(place, safe_serialization=True)
        _copy_others(folder.base, place)
    tokenizer.save_pretrained(place)
    _keep_settings(folder, place)
    (place / TEMPLATE).write_text(tokenizer.chat_template, "utf-8")
    _write_json(place / TUNED, record)
    (place / "README.md").write_text(card(config, folder, record), "utf-8")
    if (folder.base / EXPORTED).is_file():
        trained = read_json(folder.base / EXPORTED, "export the model anew")
        trained.pop("files", None)
        _write_json(place / EXPORTED, {**trained, "files": sizes_of(place)})


def record_of(
    config: Tune, folder: Folder, encoded: Encoded, trained: dict[str, Any]
) -> dict[str, Any]:
    """tune.json: what was tuned, on what, and how. No path of a machine is in it."""
    told = [each.how for each in encoded.told]
    settings = config.model_dump(mode="json", exclude={"model", "output"})
    settings["data"] = [{**file, "path": Path(file["path"]).name} for file in settings["data"]]
    return {
        "format": 1,
        "geo_nemo": __version__,
        "base": weights_of(folder),
        "policy": folder.policy.model_dump(mode="json") if folder.policy else None,
        "settings": settings,
        "conversations": len(encoded.told),
        "tokens": encoded.tokens,
        "trained_tokens": encoded.trained,
        "left_out": len(encoded.dropped),
        "told": {how: told.count(how) for how in HOW},
        "trained": trained,
    }


def card(config: Tune, folder: Folder, record: dict[str, Any]) -> str:
    """README.md: the base's own, behind what the tuning was."""
    method = f"LoRA of rank {config.lora.rank}" if config.method == "lora" else "all weights"
    told = ", ".join(f"{record['told'][how]:,} were told {HOW[how]}" for how in HOW)
    trained = record["trained"]
    mine = (
        f"# Tuned on instructions ({method})\n\n"
        f"By geo_nemo {record['geo_nemo']} and TRL: "
        f"{plural(record['conversations'], 'conversation')}, "
        f"{plural(trained['steps'], 'step')} of "
        f"{plural(config.global_batch_size, 'sequence')}, learning rate "
        f"{config.lr:g}. Of the conversations {told}. {record['trained_tokens']:,} of "
        f"{record['tokens']:,} tokens were in the loss. `tune.json` has every setting.\n\n"
        "What follows is the card of the model before.\n\n"
    )
    before = folder.base / "README.md"
    old = before.read_text("utf-8") if before.is_file() else ""
    head, text = "", old
    if old.startswith("---\n") and "\n---\n" in old[4:]:
        end = old.index("\n---\n", 4) + 5
        head, text = old[:end] + "\n", old[end:].lstrip("\n")
    return head + mine + text


def _keep_settings(folder: Folder, place: Path) -> None:
    """Settings as the base has them: the library writes its newest names for them alone.

    Such as rope_parameters, without which older programs compute with another base of rotation.
    """
    for source, names in (
        (folder.base, ("config.json", "generation_config.json")),
        (tokenizer_place(folder), ("tokenizer.json", "tokenizer_config.json")),
    ):
        for name in names:
            if not (source / name).is_file():
                continue
            if name != "config.json" or (place / name).is_file():  # none beside an adapter alone
                shutil.copyfile(source / name, place / name)
    settings = read_json(place / "tokenizer_config.json", "fetch the model again")
    if settings.pop("chat_template", None) is not None:
        _write_json(place / "tokenizer_config.json", settings)


def _copy_others(base: Path, place: Path) -> None:
    """Files of the base that no library writes: the tokenizer's own, and what `original/` has."""
    for path in base.iterdir():
        there = place / path.name
        if there.exists() or path.name in (EXPORTED, TUNED, ADAPTER_FOLDER):
            continue
        if path.name.endswith(_NOT_COPIED):
            continue
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, there)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
