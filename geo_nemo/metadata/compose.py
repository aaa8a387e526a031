"""Composes a document's token ids and their kinds from stored parts and its metadata.

    BOS "URL: host" "\\nCOUNTRY: gb" "\\nCONTINENT: Europe" "\\n\\n"
        "TITLE:" title "CONTENT:" body EOS

Each part is tokenised on its own and cut before the newline, so that the tokens equal those of the
whole text. With position `append` the metadata block stands between the body and EOS, behind its
separator: "\\n\\n" "URL: host" "\\nCOUNTRY: gb" ...
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config.schema import MetadataPolicy
from geo_nemo.metadata.fields import Line, lines_of
from geo_nemo.metadata.record import Kind, MetadataRecord

if TYPE_CHECKING:
    from geo_nemo.metadata.tokenizer import Tokenizer

NEWLINE = "\n"
SEPARATOR = "\n\n"
TITLE_LABEL = "TITLE:"
CONTENT_LABEL = "CONTENT:"
# Hosts of a large corpus outgrow any memory; the frequent ones fit here.
CACHED_VALUES = 65_536
NO_TOKENS = np.empty(0, dtype=np.int32)
# What stands behind BOS, in order; a document may lack any of it.
LABEL_KINDS = (
    Kind.METADATA,
    Kind.LABEL,
    Kind.TITLE,
    Kind.LABEL,
    Kind.BODY,
    Kind.METADATA,
    Kind.EOS,
)


class Composed:
    """A document, or a fragment of one, as it is trained on.

    first: the first token, which is no label: BOS, or another of a piece that was cut out.
    parts: ids of the other tokens, an integer array for each of `LABEL_KINDS`, some of them empty.
    Arrays of all tokens are made when they are asked for: rows are built of the parts.
    """

    __slots__ = ("first", "first_kind", "parts")

    def __init__(self, first: int, parts: Sequence[np.ndarray], first_kind: Kind = Kind.BOS):
        self.first = first
        self.parts = parts
        self.first_kind = first_kind

    @property
    def ids(self) -> np.ndarray:
        """int32 [n]."""
        return np.concatenate([[self.first], *self.parts], dtype=np.int32, casting="same_kind")

    @property
    def kinds(self) -> np.ndarray:
        """uint8 [n], the `Kind` of each token."""
        sizes = [1, *map(len, self.parts)]
        return np.repeat(np.array([self.first_kind, *LABEL_KINDS], np.uint8), sizes)

    def cut(self, start: int, stop: int) -> Composed:
        """The tokens from `start` to before `stop`, of which there must be one."""
        first, first_kind = self.first, self.first_kind
        parts, at = [], 1
        for part, kind in zip(self.parts, LABEL_KINDS, strict=True):
            if at <= start < at + len(part):
                first, first_kind = int(part[start - at]), kind
            parts.append(part[max(start + 1 - at, 0) : max(stop - at, 0)])
            at += len(part)
        return Composed(first, parts, first_kind)


class Composer:
    """Composes documents under one policy with one tokenizer; values are tokenised once.

    lines: of the metadata block, in order (`geo_nemo.metadata.fields`).
    """

    def __init__(self, policy: MetadataPolicy, tokenizer: Tokenizer):
        self.policy = policy
        self.tokenizer = tokenizer
        self.lines = lines_of(policy)
        self._appends = policy.position == "append"
        self.title_label = self._encode(TITLE_LABEL)
        self.content_label = self._encode(CONTENT_LABEL)
        self.separator = self._encode(SEPARATOR)
        self._eos = np.array([tokenizer.eos_id], dtype=np.int32)
        self._line_ids = lru_cache(CACHED_VALUES)(self._encode)
        self._block = lru_cache(CACHED_VALUES)(self._encode_block)

    def line_text(self, line: Line, record: MetadataRecord, first: bool) -> str | None:
        """One metadata line, or None where the document has none.

        A line that is not the first starts with its newline.
        """
        value = line.value(record)
        return None if value is None else f"{'' if first else NEWLINE}{line.label}: {value}"

    def block_texts(
        self, record: MetadataRecord, fields: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """The texts of the metadata lines of a document, one behind the other.

        fields: the policy's fields that are kept (all when None), in any order; a field that the
        policy does not list raises ValueError.
        """
        texts: list[str] = []
        for line in self.lines if fields is None else self._kept(fields):
            text = self.line_text(line, record, not texts)
            if text is not None:
                texts.append(text)
        return tuple(texts)

    def prefix_ids(
        self, record: MetadataRecord | None, fields: Sequence[str] | None = None
    ) -> np.ndarray:
        """The metadata block of a document, with its separator; int32 [n], read-only.

        fields: as of `block_texts`. No record or no line: no tokens.
        """
        return NO_TOKENS if record is None else self._block(self.block_texts(record, fields))

    def compose(
        self,
        record: MetadataRecord | None,
        title_ids: np.ndarray | Sequence[int],
        body_ids: np.ndarray | Sequence[int],
        *,
        fields: Sequence[str] | None = None,
        final: bool = True,
    ) -> Composed:
        """BOS, metadata, title, body and, when `final`, EOS, with the kind of each token.

        title_ids: tokens of " " + title + "\\n\\n"; empty for no title or a later fragment.
        body_ids: tokens of " " + body, or a piece of them.
        final: the body ends here. An appended metadata block follows the end of the body only, so
        that it is a target once a document.
        """
        title, body = (np.asarray(ids, np.int32) for ids in (title_ids, body_ids))
        return self.join(self.prefix_ids(record, fields), title, body, final)

    def join(
        self,
        block: np.ndarray,
        title_ids: np.ndarray,
        body_ids: np.ndarray,
        final: bool,
    ) -> Composed:
        """`compose` of arrays, with a metadata block that `prefix_ids` gave."""
        titled, appended = len(title_ids) > 0, self._appends
        parts = (
            NO_TOKENS if appended else block,
            self.title_label if titled else NO_TOKENS,
            title_ids,
            self.content_label,
            body_ids,
            block if appended and final else NO_TOKENS,
            self._eos if final else NO_TOKENS,
        )
        return Composed(self.tokenizer.bos_id, parts)

    def _kept(self, fields: Sequence[str]) -> list[Line]:
        unknown = set(fields) - set(self.policy.fields)
        if unknown:
            raise ValueError(f"{sorted(unknown)} not in the policy's {list(self.policy.fields)}")
        return [line for line in self.lines if line.name in fields]

    def _encode(self, text: str) -> np.ndarray:
        ids = np.array(self.tokenizer.encode(text), dtype=np.int32)
        ids.flags.writeable = False
        return ids

    def _encode_block(self, lines: tuple[str, ...]) -> np.ndarray:
        if not lines:
            return NO_TOKENS
        parts = [self._line_ids(line) for line in lines]
        block = np.concatenate(
            [self.separator, *parts] if self._appends else [*parts, self.separator]
        )
        block.flags.writeable = False
        return block
