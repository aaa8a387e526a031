"""Tokenizers and encoders that this process has loaded: a large vocabulary takes a second each."""

import hashlib
from pathlib import Path

from data_prep.config import TokenizerChoice
from data_prep.tokenise.encoders import Choice, choose_encoder
from data_prep.tokenise.first_words import Beginnings
from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import kind_of, load_tokenizer, settings_file

# By content and names of control tokens, so that a copy is known again; a run has one tokenizer.
_Key = tuple[str, str, tuple[str | None, ...]]
_tokenizers: dict[_Key, Tokenizer] = {}
_beginnings: dict[str, Beginnings] = {}
_choices: dict[tuple[str, int, int, int, bool], Choice] = {}


def tokenizer_at(
    path: str | Path,
    kind: str | None = None,
    bos: str | None = None,
    eos: str | None = None,
    pad: str | None = None,
) -> Tokenizer:
    """`load_tokenizer`, once for the same content and names; its errors."""
    given = (bos, eos, pad)
    content, beside = _content(Path(path), kind, named=None not in given)
    key = (content, beside, given)
    if key not in _tokenizers:
        tokenizer = load_tokenizer(path, kind=kind, bos=bos, eos=eos, pad=pad)
        names = tuple(tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id]))
        _tokenizers.clear()
        _tokenizers[key] = tokenizer
        # Its copy is asked for by the names that were found.
        _tokenizers[*_content(Path(path), kind, named=True), names] = tokenizer
    return _tokenizers[key]


def tokenizer_of(choice: TokenizerChoice) -> Tokenizer:
    """The one that a preparation is given; `choice` has a path."""
    names = {"bos": choice.bos, "eos": choice.eos, "pad": choice.pad}
    return tokenizer_at(choice.path, choice.kind, **names)


def encoder_at(path: Path, tokenizer: Tokenizer, reference_only: bool = False) -> Choice:
    """`choose_encoder`, once for the same tokenizer."""
    ids = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)
    key = (tokenizer.sha256, *ids, reference_only)
    if key not in _choices:
        _choices.clear()
        _choices[key] = choose_encoder(path, tokenizer, reference_only)
    return _choices[key]


def beginnings_of(tokenizer: Tokenizer) -> Beginnings:
    """Once for the same tokenizer: what a token is to a seam is found when it is first met."""
    if tokenizer.sha256 not in _beginnings:
        _beginnings.clear()
        _beginnings[tokenizer.sha256] = Beginnings(tokenizer)
    return _beginnings[tokenizer.sha256]


def _content(path: Path, kind: str | None, named: bool) -> tuple[str, str]:
    """Hashes of the file and of its kind, and of the one beside it that says more.

    named: the names of its control tokens are all given.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read tokenizer {path}: {error.strerror}") from None
    beside = settings_file(path, kind, named)
    content = f"{kind or kind_of(path)} {digest}"
    if beside is None or not beside.is_file():
        return content, ""
    return content, hashlib.sha256(beside.read_bytes()).hexdigest()
