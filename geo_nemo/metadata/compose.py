"""Composes a document's token ids and their kinds from stored parts and its metadata.

    BOS "URL: host" "\\nCOUNTRY: gb" "\\nCONTINENT: Europe" "\\n\\n"
        "TITLE:" title "CONTENT:" body EOS

Each part is tokenised on its own and cut before the newline, so that the tokens equal those of the
whole text. With position `append` the metadata block stands between the body and EOS, behind its
separator: "\\n\\n" "URL: host" "\\nCOUNTRY: gb" ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config.schema import MetadataField, MetadataPolicy
from geo_nemo.metadata.record import Kind, MetadataRecord

if TYPE_CHECKING:
    from geo_nemo.metadata.tokenizer import Tokenizer

FIELD_NAMES: dict[MetadataField, str] = {
    "url": "URL",
    "country": "COUNTRY",
    "continent": "CONTINENT",
}
NEWLINE = "\n"
SEPARATOR = "\n\n"
TITLE_LABEL = "TITLE:"
CONTENT_LABEL = "CONTENT:"
# Hosts of a large corpus outgrow any memory; the frequent ones fit here.
CACHED_VALUES = 65_536
NO_TOKENS = np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class Composed:
    """A document, or a fragment of one, as it is trained on.

    ids: int32 [n], from BOS on.
    kinds: uint8 [n], the `Kind` of each token.
    """

    ids: np.ndarray
    kinds: np.ndarray


class Composer:
    """Composes documents under one policy with one tokenizer; values are tokenised once."""

    def __init__(self, policy: MetadataPolicy, tokenizer: Tokenizer):
        self.policy = policy
        self.tokenizer = tokenizer
        self.title_label = self._encode(TITLE_LABEL)
        self.content_label = self._encode(CONTENT_LABEL)
        self.separator = self._encode(SEPARATOR)
        self._bos = np.array([tokenizer.bos_id], dtype=np.int32)
        self._eos = np.array([tokenizer.eos_id], dtype=np.int32)
        self._line_ids = lru_cache(CACHED_VALUES)(self._encode)
        self._block = lru_cache(CACHED_VALUES)(self._encode_block)

    def field_text(self, field: MetadataField, record: MetadataRecord, first: bool) -> str:
        """One metadata line; a line that is not the first starts with its newline."""
        return f"{'' if first else NEWLINE}{FIELD_NAMES[field]}: {self._value(field, record)}"

    def prefix_ids(
        self, record: MetadataRecord | None, fields: Sequence[MetadataField] | None = None
    ) -> np.ndarray:
        """The metadata block of a document, with its separator; int32 [n], read-only.

        fields: the policy's fields that are kept (all when None), in any order; a field that the
        policy does not list raises ValueError. No record or no field: no tokens.
        """
        if record is None:
            return NO_TOKENS
        kept = self.policy.fields if fields is None else self._in_order(fields)
        lines = (self.field_text(field, record, place == 0) for place, field in enumerate(kept))
        return self._block(tuple(lines))

    def compose(
        self,
        record: MetadataRecord | None,
        title_ids: np.ndarray | Sequence[int],
        body_ids: np.ndarray | Sequence[int],
        *,
        fields: Sequence[MetadataField] | None = None,
        final: bool = True,
    ) -> Composed:
        """BOS, metadata, title, body and, when `final`, EOS, with the kind of each token.

        title_ids: tokens of " " + title + "\\n\\n"; empty for no title or a later fragment.
        body_ids: tokens of " " + body, or a piece of them.
        final: the body ends here. An appended metadata block follows the end of the body only, so
        that it is a target once a document.
        """
        block = self.prefix_ids(record, fields)
        append = self.policy.position == "append"
        parts = [self._bos]
        kinds = [Kind.BOS]
        if len(block) and not append:
            parts.append(block)
            kinds.append(Kind.METADATA)
        if len(title_ids):
            parts += [self.title_label, title_ids]
            kinds += [Kind.LABEL, Kind.TITLE]
        parts += [self.content_label, body_ids]
        kinds += [Kind.LABEL, Kind.BODY]
        if final:
            if len(block) and append:
                parts.append(block)
                kinds.append(Kind.METADATA)
            parts.append(self._eos)
            kinds.append(Kind.EOS)
        lengths = [len(part) for part in parts]
        # An empty list would make NumPy choose float64.
        parts = [part for part in parts if len(part)]
        return Composed(
            ids=np.concatenate(parts, dtype=np.int32, casting="same_kind"),
            kinds=np.repeat(np.array(kinds, dtype=np.uint8), lengths),
        )

    def _value(self, field: MetadataField, record: MetadataRecord) -> str:
        if field == "country":
            return record.country
        if field == "continent":
            return record.continent
        if self.policy.url_form == "host":
            return record.host
        if self.policy.url_form == "path":
            return record.host + record.path
        return f"{record.scheme}://{record.host}{record.path}"

    def _in_order(self, fields: Sequence[MetadataField]) -> list[MetadataField]:
        unknown = set(fields) - set(self.policy.fields)
        if unknown:
            raise ValueError(f"{sorted(unknown)} not in the policy's {list(self.policy.fields)}")
        return [field for field in self.policy.fields if field in fields]

    def _encode(self, text: str) -> np.ndarray:
        ids = np.array(self.tokenizer.encode(text), dtype=np.int32)
        ids.flags.writeable = False
        return ids

    def _encode_block(self, lines: tuple[str, ...]) -> np.ndarray:
        if not lines:
            return NO_TOKENS
        parts = [self._line_ids(line) for line in lines]
        append = self.policy.position == "append"
        block = np.concatenate([self.separator, *parts] if append else [*parts, self.separator])
        block.flags.writeable = False
        return block
