"""Tokenizers and encoders that this process has loaded: a large vocabulary takes a second each."""

import hashlib
from pathlib import Path

from data_prep.tokenise.encoders import Choice, choose_encoder
from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import load_tokenizer

# By content and names of control tokens, so that a copy is known again; a run has one tokenizer.
_Key = tuple[str, str, tuple[str | None, ...]]
_tokenizers: dict[_Key, Tokenizer] = {}
_choices: dict[tuple[str, int, int, int, bool], Choice] = {}


def tokenizer_at(
    path: str | Path, bos: str | None = None, eos: str | None = None, pad: str | None = None
) -> Tokenizer:
    """`load_tokenizer`, once for the same content and names; its errors."""
    given = (bos, eos, pad)
    content, beside = _content(Path(path), named=None not in given)
    key = (content, beside, given)
    if key not in _tokenizers:
        tokenizer = load_tokenizer(path, bos=bos, eos=eos, pad=pad)
        names = tuple(tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id]))
        _tokenizers.clear()
        _tokenizers[key] = tokenizer
        if tokenizer.kind == "huggingface":  # its copy is asked for by the names that were found
            _tokenizers[content, "", names] = tokenizer
    return _tokenizers[key]


def encoder_at(path: Path, tokenizer: Tokenizer, reference_only: bool = False) -> Choice:
    """`choose_encoder`, once for the same tokenizer."""
    ids = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)
    key = (tokenizer.sha256, *ids, reference_only)
    if key not in _choices:
        _choices.clear()
        _choices[key] = choose_encoder(path, tokenizer, reference_only)
    return _choices[key]


def _content(path: Path, named: bool) -> tuple[str, str]:
    """Hashes of the file, and of the one beside it that says what its control tokens are.

    named: the names of a Hugging Face vocabulary's control tokens are all given.
    """
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read tokenizer {path}: {error.strerror}") from None
    beside = {
        ".json": None if named else path.with_name("tokenizer_config.json"),
        ".tiktoken": path.with_name(path.name + ".json"),
    }.get(path.suffix)
    if beside is None or not beside.is_file():
        return content, ""
    return content, hashlib.sha256(beside.read_bytes()).hexdigest()
