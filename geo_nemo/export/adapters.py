"""Adapters of PEFT put into the model that they change: all of them, and into no other model.

PEFT takes what fits: weights of an adapter that the model has no place for are left out, and places
that the adapter has no weights for stay as they were made, so that half an adapter would pass.
"""

from pathlib import Path
from typing import Any

from geo_nemo.common.files import read_json
from geo_nemo.config import UserError
from geo_nemo.export.libraries import line_of
from geo_nemo.model.safetensors import folder_entries, identity, read_entries

ADAPTER_WEIGHTS = "adapter_model.safetensors"
TUNED = "tune.json"


def adapted(model: Any, folder: Path, where: str, extra: str, merge: bool = True) -> Any:
    """`model` with the adapter in `folder`.

    where: the folder, for messages. extra: of this package, that installs PEFT. merge: weights into
    one, so that the adapter costs nothing at each token. Raises `UserError` where PEFT is not here,
    and for an adapter of another model or with weights that are not finite.
    """
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError:
        raise UserError(
            f"{where} is an adapter of PEFT, which is not here: pip install 'geo-nemo[{extra}]'"
        ) from None
    try:
        found = PeftModel.from_pretrained(model, folder, local_files_only=True)
        placed = set(get_peft_model_state_dict(found, save_embedding_layers=False))
    except Exception as error:  # PEFT raises errors of every class for a folder's faults
        raise UserError(
            f"{where}: its adapter does not load: {line_of(error)}; give it with the model that it "
            "was made for"
        ) from None
    there = set(read_entries(folder / ADAPTER_WEIGHTS))
    # Embeddings that were saved along are the model's own.
    _check_whole(where, placed, there, set(found.state_dict()))
    for name, weights in found.named_parameters():
        if not weights.isfinite().all():
            raise UserError(f"{where}: weights {name} are not finite: fetch or tune it anew")
    try:
        return found.merge_and_unload() if merge else found
    except Exception as error:  # as above
        raise UserError(f"{where}: its adapter does not merge: {line_of(error)}") from None


def _check_whole(where: str, placed: set[str], there: set[str], known: set[str]) -> None:
    for names, what in (
        (sorted(placed - there), "has no weights for {} of the model"),
        (sorted(there - placed - known), "has weights {}, which are no part of the model"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(
                f"{where} is an adapter for another base: it {what.format(names[0] + more)}; give "
                "it with the model that it was made for"
            )


def check_base(folder: Path, base: Path, how: str) -> None:
    """Raise `UserError` where `geo-nemo tune` made an adapter for other weights than `base` has.

    how: the right one is given.
    """
    if folder == base or not (folder / TUNED).is_file():
        return
    wanted = read_json(folder / TUNED, "tune the adapter anew").get("base")
    if wanted and wanted != (there := identity(folder_entries(base))):
        raise UserError(
            f"{folder} is an adapter for another base: it was tuned on weights {wanted}, and "
            f"{base} has {there}: {how}"
        )
