"""Composes a document's token ids and their kinds from stored parts and its metadata.

    BOS "URL: host" "\\nCOUNTRY: gb" "\\nCONTINENT: Europe" "\\n\\n"
        "TITLE:" title "CONTENT:" body EOS

Each part is tokenised on its own and cut before the newline, so that the tokens equal those of the
whole text. With position `append` the metadata block stands between the body and EOS, behind its
separator: "\\n\\n" "URL: host" "\\nCOUNTRY: gb" ...

Under another template than `localization` the parts are cut by `geo_nemo.metadata.seams`, and their
ids are those of the whole text. Stored ids of titles and bodies must then go through `texts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config.schema import MetadataPolicy
from geo_nemo.config.template import LABEL, VALUE
from geo_nemo.metadata.fields import Line, lines_of
from geo_nemo.metadata.record import Kind, MetadataRecord
from geo_nemo.metadata.seams import BEGINNING, BLANK_LINE, SPACED_WORD, WORD, Seams, Spliced
from geo_nemo.metadata.seams import LABEL as LABELLED

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

    lines: of the metadata block, in order (`geo_nemo.metadata.fields`). exact: the ids of a whole
    document are those of its text, and a block is tokenised as a whole.
    """

    def __init__(self, policy: MetadataPolicy, tokenizer: Tokenizer):
        self.policy = policy
        self.tokenizer = tokenizer
        self.lines = lines_of(policy)
        self._appends = policy.position == "append"
        self.exact = policy.cuts_anew
        if self.exact:
            self.seams = Seams(tokenizer)
            self._template = policy.text
            self.separator = NO_TOKENS
            self._left_of = {name: self._lefts(name) for name in ("title", "body")}
            self._title_labels = self._labels("title")
            self._content_labels = self._labels("body")
        else:
            self.separator = self._encode(SEPARATOR)
            self._title_labels = (self._encode(TITLE_LABEL),) * 2
            self._content_labels = (self._encode(CONTENT_LABEL),) * 2
        self._eos = np.array([tokenizer.eos_id], dtype=np.int32)
        self._line_ids = lru_cache(CACHED_VALUES)(self._encode)
        self._block = lru_cache(CACHED_VALUES)(self._encode_block)

    def line_text(self, line: Line, record: MetadataRecord, first: bool) -> str | None:
        """One metadata line, or None where the document has none.

        A line that is not the first starts with its newline, but where parts are cut anew.
        """
        value = line.value(record)
        if value is None:
            return None
        if self.exact:
            # Not str.format: a label or value may hold braces.
            before, _, after = self._template.line.partition(VALUE)
            return f"{before.replace(LABEL, line.label)}{value}{after.replace(LABEL, line.label)}"
        return f"{'' if first else NEWLINE}{line.label}: {value}"

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
        block = self.prefix_ids(record, fields)
        title, body = self.texts(title_ids, body_ids, len(block) > 0)
        return self.join(block, title, body, final)

    def whole_text(
        self,
        record: MetadataRecord | None,
        title: str,
        body: str,
        fields: Sequence[str] | None = None,
    ) -> str:
        """A document as a text, under a template whose parts are cut anew.

        title: with its blank line; empty for none.
        """
        lines = () if record is None else self.block_texts(record, fields)
        block = self._template.between.join(lines) + self._template.after if lines else ""
        title = self._template.label("title") + title if title else ""
        return block + title + self._template.label("body") + body

    def texts(
        self,
        title_ids: np.ndarray | Sequence[int],
        body_ids: np.ndarray | Sequence[int],
        opened: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Stored ids of a title and a body as they stand in the document, int32 [n] each.

        opened: metadata stand before them; to score the same tokens with and without, leave it.
        """
        title, body = (np.asarray(ids, np.int32) for ids in (title_ids, body_ids))
        if not self.exact:
            return title, body
        cut = self.splice(title, body, opened)
        return tuple(
            part.take(ids, 0, len(part)) for part, ids in zip(cut, (title, body), strict=True)
        )

    def splice(
        self, title_ids: np.ndarray, body_ids: np.ndarray, opened: bool
    ) -> tuple[Spliced, Spliced]:
        """What of the stored ids of a title and a body serves; where parts are cut anew alone."""
        seams, left_of = self.seams, self._left_of
        titled = len(title_ids) > 0
        return (
            seams.splice(title_ids, left_of["title"][opened], closed=True),
            seams.splice(body_ids, left_of["body"][opened or titled], closed=False),
        )

    def title_label(self, opened: bool = True) -> np.ndarray:
        """Ids of the label of a title; not `opened`: it begins the document."""
        return self._title_labels[opened]

    def content_label(self, opened: bool = True) -> np.ndarray:
        """Ids of the label of a body; not `opened`: it begins the document."""
        return self._content_labels[opened]

    def join(
        self,
        block: np.ndarray,
        title_ids: np.ndarray,
        body_ids: np.ndarray,
        final: bool,
        titled: bool | None = None,
    ) -> Composed:
        """`compose` of arrays that `texts` gave, with a metadata block that `prefix_ids` gave.

        titled: the document has a title; None: where one is shown.
        """
        shown, appended = len(title_ids) > 0, self._appends
        opened = len(block) > 0
        parts = (
            NO_TOKENS if appended else block,
            self._title_labels[opened] if shown else NO_TOKENS,
            title_ids,
            self._content_labels[opened or (shown if titled is None else titled)],
            body_ids,
            block if appended and final else NO_TOKENS,
            self._eos if final else NO_TOKENS,
        )
        return Composed(self.tokenizer.bos_id, parts)

    def _lefts(self, name: str) -> tuple[str, str]:
        """What a text stands behind: at the beginning of a document, and behind something."""
        label = self._template.label(name)
        if label.endswith(" "):
            return LABELLED, LABELLED
        return BLANK_LINE if label else BEGINNING, BLANK_LINE

    def _labels(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids of a label that begins the document, and of one behind a blank line."""
        label = self._template.label(name)
        right = SPACED_WORD if label.endswith(" ") else WORD
        text = label.removesuffix(" ")
        if not text:
            return NO_TOKENS, NO_TOKENS
        return tuple(self.seams.between(left, text, right) for left in (BEGINNING, BLANK_LINE))

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
        if self.exact:
            text = self._template.between.join(lines) + self._template.after
            return self.seams.between(BEGINNING, text, WORD)
        parts = [self._line_ids(line) for line in lines]
        block = np.concatenate(
            [self.separator, *parts] if self._appends else [*parts, self.separator]
        )
        block.flags.writeable = False
        return block
