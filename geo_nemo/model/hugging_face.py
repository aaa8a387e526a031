"""A model in Hugging Face's format, by the names and shapes of Megatron-Core's GPTModel.

Checks of config.json, names and shapes come before a weight is read, and need no torch.
"""

from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.common.parse import parse_json
from geo_nemo.config import Model, UserError
from geo_nemo.config.load import validate
from geo_nemo.model.hugging_face_config import check_shape, read_shape
from geo_nemo.model.hugging_face_names import (
    EMBEDDING,
    OUTPUT,
    join,
    tensor_names,
    tensor_shapes,
)
from geo_nemo.model.safetensors import folder_entries, identity
from geo_nemo.model.shape import padded_vocab_size

# Tables that older versions stored beside the weights.
_NO_WEIGHT = "rotary_emb.inv_freq"
INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.model", "original/tokenizer.model", "tokenizer.json")


def is_hugging_face(folder: Path) -> bool:
    """Whether a folder has the files of one."""
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def recipe_of(folder: Path) -> dict[str, Any]:
    """The settings of `Model` that are not its defaults, of the model in a folder.

    Raises `UserError` where it is a model that ours cannot be, or has no embedding.
    """
    shape = read_shape(folder)
    _check_files(folder)
    entries = folder_entries(folder)
    if EMBEDDING not in entries:
        raise UserError(f"{folder}: {EMBEDDING} is missing: give a folder with all *.safetensors")
    shape["make_vocab_size_divisible_by"] = entries[EMBEDDING].shape[0]
    return validate(str(folder), Model, shape).model_dump(exclude_defaults=True)


class HuggingFaceModel:
    """The weights of a folder, checked against a model's shape.

    identity: of its weights. tokenizers: files of a tokenizer that it has. vocab_size: rows of its
    embedding. new_rows: rows behind them, up to the tokenizer's tokens, are their mean; else that
    there are fewer is an error.

    Raises `UserError` for another architecture or shape, and for tensors that are missing, too many
    or of another shape.
    """

    def __init__(self, folder: Path, model: Model, vocab_size: int, new_rows: bool = False):
        self.folder = folder
        _check_files(folder)
        self.model = model
        self.entries = {
            name: entry
            for name, entry in folder_entries(folder).items()
            if not name.endswith(_NO_WEIGHT)
        }
        check_shape(folder, model)
        self.vocab_size = self._check_tensors(vocab_size, new_rows)
        self._new_rows = max(vocab_size - self.vocab_size, 0)
        self.identity = identity(self.entries)
        self.tokenizers = [path for name in _TOKENIZERS if (path := folder / name).is_file()]

    def _check_tensors(self, vocab_size: int, new_rows: bool) -> int:
        """Rows of its embedding, once every tensor has been found as it must be."""
        model, entries = self.model, self.entries
        if model.share_embeddings_and_output_weights:
            # Some writers store the tied matrix under both names.
            entries.pop(OUTPUT, None)
        there = entries[EMBEDDING].shape[0] if EMBEDDING in entries else 0
        expected = tensor_shapes(model, there)
        problems = []
        if missing := sorted(expected.keys() - entries.keys()):
            problems.append(f"{missing[0]}{_more(missing)} is missing")
        if extra := sorted(entries.keys() - expected.keys()):
            problems.append(f"{extra[0]}{_more(extra)} has no place in the model")
        common = expected.keys() & entries.keys()
        if other := sorted(name for name in common if entries[name].shape != expected[name]):
            name = other[0]
            problems.append(
                f"{name}{_more(other)} has the shape {list(entries[name].shape)}, not "
                f"{list(expected[name])}"
            )
        padded = padded_vocab_size(model, vocab_size)
        if not problems and there > padded:
            problems.append(
                f"its vocabulary has {there:,} rows, more than the run's {padded:,}; give "
                f"model.make_vocab_size_divisible_by={there}"
            )
        if not problems and there < vocab_size and not new_rows:
            problems.append(
                f"its vocabulary has {there:,} tokens, and the store's tokenizer {vocab_size:,}; "
                "where it is the same with new control tokens behind, give init.new_rows=mean"
            )
        if problems:
            raise UserError(f"init.checkpoint={self.folder}: {'; '.join(problems)}")
        return there

    def whole(self, name: str, layer: int | None) -> np.ndarray:
        """A parameter of GPTModel as a checkpoint has it whole, fp32.

        name: without the layer's number, such as `decoder.layers.mlp.linear_fc1.weight`. layer:
        None outside the layers. Rows of padding that the folder lacks are not in it.
        """
        names = tensor_names(name, layer)
        parts = [self.entries[each].whole() for each in names]
        if self._new_rows and names[0] in (EMBEDDING, OUTPUT):
            mean = parts[0].mean(axis=0, dtype=np.float64).astype(np.float32)
            parts.append(np.tile(mean, (self._new_rows, 1)))
        return join(self.model, name, parts)


def _check_files(folder: Path) -> None:
    """Raise `UserError` where a file is missing that the folder's own index names."""
    try:
        named = set(parse_json((folder / INDEX).read_bytes())["weight_map"].values())
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{folder / INDEX} is no index of files: fetch it again") from None
    if missing := sorted(name for name in named if not (folder / str(name)).is_file()):
        raise UserError(
            f"init.checkpoint={folder}: {missing[0]}{_more(missing)} is missing, which {INDEX} "
            "names: fetch it again"
        )


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
