"""Tokenizers from tiktoken vocabularies: a rank a line, as `aGVsbG8= 9906`."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import FlatEncoder, OneFile, control_ids, refuse_leaks, scrub
from geo_nemo.tokenizers.by_fastokens import by_fastokens
from geo_nemo.tokenizers.tiktoken_settings import copy_settings, read_settings, settings_path


class TiktokenTokenizer(OneFile):
    """A `.tiktoken` vocabulary with the pattern and control tokens of its settings.

    A vocabulary without BOS uses its EOS in both places.
    """

    kind = "tiktoken"
    library = "tiktoken"

    def __init__(
        self,
        path: Path,
        content: bytes,
        bos: str | None = None,
        eos: str | None = None,
        pad: str | None = None,
    ):
        from tiktoken import Encoding

        self.settings = read_settings(path)
        ranks = read_ranks(path, content)
        special = self.settings.special_tokens
        clash = sorted(set(special.values()) & set(ranks.values()))
        if clash:
            raise UserError(f"{path}: id {clash[0]} is both a piece of text and a control token")
        try:
            self._backend = Encoding(
                path.stem,
                pat_str=self.settings.pattern,
                mergeable_ranks=ranks,
                special_tokens=dict(special),
            )
        except ValueError as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{path}: its pattern cannot be used: {reason}") from None
        self._controls = {token_id: name for name, token_id in special.items()}
        described = self.settings.model_dump_json(include={"pattern", "special_tokens"})
        self.sha256 = hashlib.sha256(content + b"\0" + described.encode()).hexdigest()
        self.vocab_size = max((*ranks.values(), *special.values())) + 1
        given = {"bos": bos, "eos": eos, "pad": pad}
        self.bos_id, self.eos_id, self.pad_id = control_ids(
            path, lambda role, known: self._find(path, role, given[role], known)
        )
        refuse_leaks(path, self, self._controls)

    @classmethod
    def settings_file(cls, path: Path, named: bool) -> Path | None:
        return settings_path(path)

    @classmethod
    def copy_settings(cls, path: Path, copy: Path) -> None:
        copy_settings(settings_path(copy), read_settings(path))

    def encode(self, text: str) -> list[int]:
        return self._backend.encode_ordinary(scrub(text))

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return self._backend.encode_ordinary_batch([scrub(text) for text in texts])

    def flat_encoder(self, path: Path) -> FlatEncoder | str:
        settings = self.settings
        return by_fastokens(
            lambda backend: backend.from_tiktoken(
                str(path), pattern=settings.pattern, special_tokens=settings.special_tokens
            )
        )

    def as_tokenizer_json(self, path: Path) -> Any:
        from geo_nemo.tokenizers.tiktoken_json import tiktoken_json

        ranks = read_ranks(path, path.read_bytes())
        return tiktoken_json(ranks, self.settings.pattern, self.settings.special_tokens)

    def decode(self, ids: Sequence[int]) -> str:
        return self._backend.decode([int(i) for i in ids if int(i) not in self._controls])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._piece(int(i)) for i in ids]

    def _piece(self, token_id: int) -> str:
        if token_id in self._controls:
            return self._controls[token_id]
        try:
            # A piece of a multi-byte character has no text of its own: show its bytes.
            return self._backend.decode_single_token_bytes(token_id).decode(
                errors="backslashreplace"
            )
        except KeyError:  # a gap between the vocabulary's ids
            return ""

    def _find(self, path: Path, role: str, given: str | None, known: Sequence[str]) -> int | None:
        special = self.settings.special_tokens
        if given is not None and given not in special:
            raise UserError(f"{path} has no token {given!r} for {role}")
        candidates = (given or getattr(self.settings, role), *known)
        return next((special[name] for name in candidates if name in special), None)


def read_ranks(path: Path, content: bytes) -> dict[bytes, int]:
    """Piece and id of each line. UserError for what is no whole vocabulary of bytes."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            piece, rank = line.split()
            ranks[base64.b64decode(piece, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise UserError(f"{path} is no tiktoken vocabulary: see its line {number}") from None
    if len(set(ranks.values())) != len(ranks) or min(ranks.values(), default=0) < 0:
        raise UserError(f"{path} is no tiktoken vocabulary: two pieces have one id")
    if not all(bytes([byte]) in ranks for byte in range(256)):
        raise UserError(f"{path} is no tiktoken vocabulary, or cut short: it lacks single bytes")
    return ranks
