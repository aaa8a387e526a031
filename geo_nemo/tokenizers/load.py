"""A tokenizer by its file: sentencepiece `.model`, Hugging Face `tokenizer.json`, `.tiktoken`."""

import shutil
from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.hugging_face import HuggingFaceTokenizer
from geo_nemo.tokenizers.sentencepiece import SentencePieceTokenizer
from geo_nemo.tokenizers.tiktoken import TiktokenTokenizer
from geo_nemo.tokenizers.tiktoken_settings import copy_settings, read_settings, settings_path


def load_tokenizer(
    path: str | Path,
    *,
    bos: str | None = None,
    eos: str | None = None,
    pad: str | None = None,
) -> Tokenizer:
    """The tokenizer in `path`: `.model` is sentencepiece, `.json` Hugging Face, or `.tiktoken`.

    bos, eos, pad: names of control tokens of the latter two, where they are unusual.
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
    if path.suffix == ".model":
        return SentencePieceTokenizer(path, content)
    if path.suffix == ".json":
        return HuggingFaceTokenizer(path, content, bos, eos, pad)
    if path.suffix == ".tiktoken":
        return TiktokenTokenizer(path, content, bos, eos, pad)
    raise UserError(
        f"tokenizer {path} must end in .model (sentencepiece), .json (Hugging Face) or .tiktoken"
    )


def copy_tokenizer(path: str | Path, folder: Path) -> str:
    """Copy the tokenizer `path` into `folder` as `tokenizer` with its suffix; the new name."""
    path = Path(path)
    copy = folder / f"tokenizer{path.suffix}"
    shutil.copyfile(path, copy)
    if path.suffix == ".tiktoken":
        copy_settings(settings_path(copy), read_settings(path))
    return copy.name
