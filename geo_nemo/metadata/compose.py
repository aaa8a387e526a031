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
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.metadata.blocks import NO_TOKENS, PartBlocks, WholeBlocks
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.control import Controlled, ends_marked, starts_marked
from geo_nemo.metadata.fields import Line, lines_of
from geo_nemo.metadata.meta_tokens import meta_ids
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.metadata.seams import (
    BEGINNING,
    BLANK_LINE,
    NOTHING,
    SPACED_WORD,
    WORD,
    Seams,
)
from geo_nemo.metadata.seams import LABEL as LABELLED
from geo_nemo.metadata.splice import Spliced, Splicer

if TYPE_CHECKING:
    from geo_nemo.tokenizers.base import Tokenizer

NEWLINE = "\n"
SEPARATOR = "\n\n"
TITLE_LABEL = "TITLE:"
CONTENT_LABEL = "CONTENT:"


class Composer:
    """Composes documents under one policy with one tokenizer; values are tokenised once.

    lines: of the metadata block, in order (`geo_nemo.metadata.fields`). exact: the ids of a whole
    document are those of its text. reads_texts: stored ids of titles and bodies do not serve as
    they are, and must go through `texts`. meta_ids: of the meta-tokens behind BOS, int32 [n].
    label_pairs: labels of a title and of a body, by whether the document has metadata, and a title.
    leads: nothing but the metadata block stands between BOS and the text's labels, or behind it.
    """

    def __init__(self, policy: MetadataPolicy, tokenizer: Tokenizer):
        self.policy = policy
        self.tokenizer = tokenizer
        self.lines = lines_of(policy)
        self._appends = policy.position == "append"
        self.exact = policy.is_whole
        template = policy.text
        self._shown = None
        if template.control:
            controlled = tokenizer = Controlled(tokenizer, template)
            template, self._shown = controlled.template, controlled.shown
        self._template = template
        if self.exact:
            self.seams = Seams(tokenizer)
            # What begins the text behind a blank line: a word, or a control token.
            self._next = NOTHING if starts_marked(template.label("body")) else WORD
            whole = WholeBlocks(template, tokenizer, self._appends, self.seams, self._next)
            self._blocks: PartBlocks = whole
            self._first = whole.first
            self._left_of = {name: self._lefts(name) for name in ("title", "body")}
            self._title_labels = self._labels("title")
            self._content_labels = self._labels("body")
            self._splicers = self._all_splicers()
        else:
            self._blocks = PartBlocks(template, tokenizer, self._appends)
            self._title_labels = (self._encode(TITLE_LABEL),) * 2
            self._content_labels = (self._encode(CONTENT_LABEL),) * 2
        self.reads_texts = self.exact and self._reads_texts()
        both = (False, True)
        self.label_pairs = [
            [(self.title_label(opened), self.content_label(opened, titled)) for titled in both]
            for opened in both
        ]
        self.separator = self._blocks.separator
        self.line_text = self._blocks.text
        self.line_lengths = self._blocks.lengths
        self.bos = tokenizer.bos_id
        self.eos = np.array([tokenizer.eos_id], dtype=np.int32)
        self.meta_ids = meta_ids(policy.meta_tokens, self.tokenizer)
        self._has_meta = len(self.meta_ids) > 0
        self.leads = not self._appends and not self._has_meta

    def plain(self) -> Composer | None:
        """Of the documents that the policy shows as plain text; None where it shows none so."""
        policy = self.policy.plain
        return Composer(policy, self.tokenizer) if policy is not None else None

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
        return NO_TOKENS if record is None else self._blocks.block(self.block_texts(record, fields))

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

    def whole_text(self, record: MetadataRecord | None, title: str, body: str) -> str:
        """A document as a text, under a template whose parts are cut anew.

        title: with its blank line; empty for none.
        """
        block = "" if record is None else "".join(self.block_texts(record))
        title = self._template.label("title") + title if title else ""
        text = title + self._template.label("body") + body
        if block:
            after = self._template.after
            text = text + after + block if self._appends else block + after + text
        return self._shown(text) if self._shown else text

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
        return cut[0].whole(title), cut[1].whole(body)

    def splice(
        self, title_ids: np.ndarray, body_ids: np.ndarray, opened: bool
    ) -> tuple[Spliced, Spliced]:
        """What of the stored ids of a title and a body serves; where ids are those of whole texts.

        opened: as of `texts`. An appended block makes the body end with what stands between them.
        """
        title, body = self.splicers(opened, len(title_ids) > 0)
        return title(title_ids), body(body_ids)

    def splicers(self, opened: bool, titled: bool) -> tuple[Splicer, Splicer]:
        """Of a title and a body; where ids are those of whole texts. titled: there is a title."""
        return self._splicers[opened][titled]

    @property
    def reads_ends(self) -> bool:
        """Whether last words of some titles or bodies are tokenised anew."""
        pairs = [pair for opened in self._splicers for pair in opened]
        return any(splicer.anew_back for pair in pairs for splicer in pair)

    def title_label(self, opened: bool = True) -> np.ndarray:
        """Ids of the label of a title. opened: the document has metadata."""
        return self._title_labels[opened and not self._appends]

    def content_label(self, opened: bool = True, titled: bool = False) -> np.ndarray:
        """Ids of the label of a body. opened, titled: the document has metadata, a title."""
        return self._content_labels[titled or (opened and not self._appends)]

    def join(
        self,
        block: np.ndarray,
        title_ids: np.ndarray,
        body_ids: np.ndarray,
        final: bool,
    ) -> Composed:
        """`compose` of arrays that `texts` gave, with a metadata block that `prefix_ids` gave."""
        return self.join_spliced(block, (title_ids,), (body_ids,), final, len(title_ids) > 0)

    def join_spliced(
        self,
        block: np.ndarray,
        title: tuple[np.ndarray, ...],
        body: tuple[np.ndarray, ...],
        final: bool,
        titled: bool,
    ) -> Composed:
        """`join` of a title and a body in one part each, or two, as `Splicer.parts` gives them.

        titled: the document has a title, which this piece of it may not show.
        """
        shown = len(title[0]) > 0 or len(title[-1]) > 0
        title_label, content_label = self.label_pairs[len(block) > 0][titled]
        label = title_label if shown else NO_TOKENS
        front, back = block, NO_TOKENS
        if self._appends:
            front, back = NO_TOKENS, block if final else NO_TOKENS
        if self._has_meta and self._appends:  # metadata are in the loss there, and labels are not
            label = np.concatenate([self.meta_ids, label])
        elif self._has_meta:
            front = np.concatenate([self.meta_ids, front])
        end = self.eos if final else NO_TOKENS
        return Composed(self.bos, (front, label, *title, content_label, *body, back, end))

    def _all_splicers(self) -> list[list[tuple[Splicer, Splicer]]]:
        """Of documents without and with metadata, without and with a title."""
        found: dict[tuple[str, bool, tuple[str, str] | None], Splicer] = {}

        def splicer(
            left: str, closed: bool = False, before: tuple[str, str] | None = None
        ) -> Splicer:
            key = (left, closed, before)
            return found.setdefault(key, Splicer(self.seams, *key))

        both = (False, True)
        pairs = []
        for opened in both:
            before, ends = opened and not self._appends, opened and self._appends
            title = splicer(self._left_of["title"][before], self._next == WORD)
            behind = (self._template.after, self._first) if ends else None
            bodies = [splicer(self._left_of["body"][before or t], before=behind) for t in both]
            pairs.append([(title, body) for body in bodies])
        return pairs

    def _lefts(self, name: str) -> tuple[str, str]:
        """What a text stands behind: at the beginning of a document, and behind something."""
        label = self._template.label(name)
        if label.endswith(" "):
            return LABELLED, LABELLED
        if ends_marked(label):
            return BEGINNING, BEGINNING
        return BLANK_LINE if label else BEGINNING, BLANK_LINE

    def _labels(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids of a label that begins the document, and of one behind a blank line."""
        label = self._template.label(name)
        right = SPACED_WORD if label.endswith(" ") else NOTHING if ends_marked(label) else WORD
        text = label.removesuffix(" ")
        if not text:
            return NO_TOKENS, NO_TOKENS
        between = self.seams.between
        return between(BEGINNING, text, right), between(BLANK_LINE, text, right)

    def _reads_texts(self) -> bool:
        """Whether the stored ids of some text do not serve as they are."""
        lefts = [
            (left, name == "title" and self._next == WORD)
            for name, pair in self._left_of.items()
            for left in pair
        ]
        shown = self._appends and bool(self.lines)
        return shown or not all(self.seams.serves(*left) for left in lefts)

    def _kept(self, fields: Sequence[str]) -> list[Line]:
        unknown = set(fields) - set(self.policy.fields)
        if unknown:
            raise ValueError(f"{sorted(unknown)} not in the policy's {list(self.policy.fields)}")
        return [line for line in self.lines if line.name in fields]

    def _encode(self, text: str) -> np.ndarray:
        ids = np.array(self.tokenizer.encode(text), dtype=np.int32)
        ids.flags.writeable = False
        return ids
