"""A tokenizer by its file: sentencepiece `.model`, Hugging Face `tokenizer.json`, `.tiktoken`."""

import shutil
from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.brought import Brought
from geo_nemo.tokenizers.kinds import TOKENIZERS

SETTING = "tokenizer.kind"
_SUFFIXES = {".model": "sentencepiece", ".json": "huggingface", ".tiktoken": "tiktoken"}


def load_tokenizer(
    path: str | Path,
    *,
    kind: str | None = None,
    bos: str | None = None,
    eos: str | None = None,
    pad: str | None = None,
) -> Tokenizer:
    """The tokenizer in `path`.

    kind: ours, or that of an entry point of the group `geo_nemo.tokenizers`; without one, `.model`
    is sentencepiece, `.json` Hugging Face and `.tiktoken` tiktoken.
    bos, eos, pad: names of control tokens, where they are unusual; sentencepiece has its own.
    Raises UserError for a file that is missing, corrupt, of another kind, or that would turn
    ordinary text into a control token.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"tokenizer {path} is a folder: give the .model or tokenizer.json in it")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read tokenizer {path}: {error.strerror}") from None
    name = kind or kind_of(path)
    if not name:
        raise UserError(
            f"tokenizer {path} must end in .model (sentencepiece), .json (Hugging Face) or "
            f".tiktoken, or be of a kind of your own, which {SETTING} of geo-nemo prep names"
        )
    if name not in TOKENIZERS.known:
        return Brought(name, SETTING, path, content, bos, eos, pad)
    return TOKENIZERS.get(name, SETTING)(path, content, bos, eos, pad)


def kind_of(path: Path) -> str:
    """The kind of a file by its ending; empty where that tells none."""
    return _SUFFIXES.get(path.suffix, "")


def settings_file(path: Path, kind: str | None = None, named: bool = True) -> Path | None:
    """The file beside a tokenizer's that says what its own does not, where there may be one.

    named: the names of its control tokens are known.
    """
    name = kind or kind_of(path)
    if name not in TOKENIZERS.known:
        return None
    return TOKENIZERS.get(name, SETTING).settings_file(path, named)


def copy_tokenizer(path: str | Path, folder: Path, kind: str | None = None) -> str:
    """Copy the tokenizer `path` into `folder` as `tokenizer` with its suffix; the new name."""
    path = Path(path)
    copy = folder / f"tokenizer{path.suffix}"
    shutil.copyfile(path, copy)
    name = kind or kind_of(path)
    if name in TOKENIZERS.known:
        TOKENIZERS.get(name, SETTING).copy_settings(path, copy)
    return copy.name
