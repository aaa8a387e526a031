"""A tokenizer from outside: what it gives is checked, and what goes wrong in it names it."""

import hashlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.common.errors import RunError, UserError
from geo_nemo.config.plugins import blaming
from geo_nemo.tokenizers.base import FlatEncoder, refuse_leaks, scrub
from geo_nemo.tokenizers.hard_texts import HARD_TEXTS
from geo_nemo.tokenizers.kinds import TOKENIZERS

_IDS = ("bos_id", "eos_id", "pad_id")
_MEND = "mend its package, then run the same command again"


class _Batches:
    """Batches of a tokenizer, as one array."""

    def __init__(self, tokenizer: "Brought"):
        self.name = f"{tokenizer.kind} by batches"
        self._tokenizer = tokenizer

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        parts = self._tokenizer.encode_batch(texts)
        lengths = np.fromiter(map(len, parts), np.int64, count=len(parts))
        return np.fromiter(chain.from_iterable(parts), np.int64, int(lengths.sum())), lengths


class Brought:
    """Holds a tokenizer of another package, and is it to the project.

    sha256: of the file and of the class's version, so that all that names a tokenizer by it sees a
    change of either. Raises UserError where the class, its ids or its batches are not sound.
    """

    own_file = ""

    def __init__(
        self,
        kind: str,
        setting: str,
        path: Path,
        content: bytes,
        bos: str | None,
        eos: str | None,
        pad: str | None,
    ):
        self.kind = self.library = kind
        who = TOKENIZERS.brought(kind, setting)
        self._held = TOKENIZERS.make(kind, setting, path, content, bos, eos, pad)
        self.sha256 = hashlib.sha256(content + b"\0" + who.encode()).hexdigest()
        self.vocab_size = self._whole("vocab_size", 1, 1 << 31)
        self.bos_id, self.eos_id, self.pad_id = (
            self._whole(name, 0, self.vocab_size) for name in _IDS
        )
        texts = list(HARD_TEXTS)
        single = [self.encode(text) for text in texts]
        for text, one, many in zip(texts, single, self.encode_batch(texts), strict=True):
            if one != many:
                raise UserError(
                    f"the tokenizer {kind} gives {text[:40]!r} other ids by encode_batch than by "
                    f"encode: {_MEND}"
                )
        controls = sorted({self.bos_id, self.eos_id, self.pad_id})
        refuse_leaks(path, self, dict(zip(controls, self.pieces(controls), strict=True)))

    def encode(self, text: str) -> list[int]:
        with blaming(f"the tokenizer {self.kind}, at the text {text[:40]!r},", _MEND):
            ids = self._held.encode(scrub(text))
        return self._checked(ids, text)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` of each where the class has no batches of its own."""
        if not hasattr(self._held, "encode_batch"):
            return [self.encode(text) for text in texts]
        first = texts[0][:40] if texts else ""
        with blaming(f"the tokenizer {self.kind}, at {len(texts)} texts from {first!r} on,", _MEND):
            batch = list(self._held.encode_batch([scrub(text) for text in texts]))
        if len(batch) != len(texts):
            raise RunError(
                f"the tokenizer {self.kind} gives {len(batch)} lists of ids for {len(texts)} "
                f"texts: {_MEND}"
            )
        return [self._checked(ids, text) for ids, text in zip(batch, texts, strict=True)]

    def encode_here(self, texts: list[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def flat_encoder(self, path: Path) -> FlatEncoder | str:
        """Its batches."""
        return _Batches(self)

    def as_tokenizer_json(self, path: Path) -> Any:
        """What the class's `tokenizer_json` gives, where it has one: the file's content."""
        if not hasattr(self._held, "tokenizer_json"):
            return None
        from tokenizers import Tokenizer as Backend

        with blaming(f"the tokenizer {self.kind}, at its tokenizer_json,", _MEND):
            return Backend.from_str(self._held.tokenizer_json())

    def decode(self, ids: Sequence[int]) -> str:
        with blaming(f"the tokenizer {self.kind}, as it decodes,", _MEND):
            return str(self._held.decode([int(i) for i in ids]))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        with blaming(f"the tokenizer {self.kind}, at pieces,", _MEND):
            found = [str(piece) for piece in self._held.pieces([int(i) for i in ids])]
        if len(found) != len(ids):
            raise RunError(
                f"the tokenizer {self.kind} gives {len(found)} pieces for {len(ids)} ids: {_MEND}"
            )
        return found

    def _checked(self, given: Any, text: str) -> list[int]:
        with blaming(f"the tokenizer {self.kind}, at the text {text[:40]!r},", _MEND):
            ids = [i if type(i) is int else i.__index__() for i in given]
        if ids and not (min(ids) >= 0 and max(ids) < self.vocab_size):
            wrong = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise RunError(
                f"the tokenizer {self.kind} gives {text[:40]!r} the id {wrong}, and its vocab_size "
                f"is {self.vocab_size}: {_MEND}"
            )
        return ids

    def _whole(self, name: str, least: int, end: int) -> int:
        value = getattr(self._held, name, None)
        if type(value) is not int or not least <= value < end:
            raise UserError(
                f"the tokenizer {self.kind} has {name}={value!r}, not a whole number from {least} "
                f"to {end - 1}: {_MEND}"
            )
        return value
