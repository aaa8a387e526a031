"""Composes planned fragments: one by one, or the parts of all fragments of some sequences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import MetadataPolicy
from geo_nemo.data.dropout import fields_of, is_plain
from geo_nemo.data.fragments import COLUMNS, Fragment
from geo_nemo.data.placebo import OwnMetadata, PlaceboMetadata, told
from geo_nemo.data.sequences import FragmentParts, parts_of
from geo_nemo.data.token_selection import TokenSelection
from geo_nemo.metadata.blocks import NO_TOKENS
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.composed import KINDS_OF, Composed
from geo_nemo.metadata.fields import key_columns
from geo_nemo.metadata.record import Kind
from geo_nemo.metadata.seams import CACHED
from geo_nemo.metadata.splice import Splicer

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.tokenizers.base import Tokenizer

CACHED_BLOCKS = 65_536


class FragmentComposer:
    """Composes the fragments of a stage's documents.

    split: of a token store. composer: of documents that are not shown as plain text.
    """

    def __init__(self, split: Split, policy: MetadataPolicy, tokenizer: Tokenizer):
        self.split = split
        self.policy = policy
        self.composer = Composer(policy, tokenizer)
        self._plain = self.composer.plain()
        self._told = told(split, policy)
        self._block_key = block_key(self.composer, self._told)
        self._blocks: dict[Hashable, np.ndarray] = {}
        # Of texts by the number of their first words in the store: what stands for the first words,
        # and where the rest begins.
        self._fronts: dict[Splicer, dict[int, tuple[np.ndarray, int]]] = defaultdict(dict)

    def composer_of(self, fragment: Fragment) -> Composer:
        """What composes a fragment: that of plain texts where it is shown so."""
        if self._plain is not None and is_plain(self.policy, fragment.kept):
            return self._plain
        return self.composer

    def compose(self, fragment: Fragment) -> Composed:
        """The tokens and kinds of a planned fragment."""
        composer = self.composer if self._plain is None else self.composer_of(fragment)
        block = self._block(fragment) if fragment.kept and composer is self.composer else NO_TOKENS
        if composer.reads_texts:
            return self._compose_anew(composer, fragment, block)
        if fragment.bare:
            title, body = self.split.texts(fragment.document)
            whole = composer.join(block, title, body, final=True)
            return whole.cut(fragment.start, fragment.stop + 1)
        title, body = self.split.pieces(
            fragment.document, fragment.title, fragment.start, fragment.stop
        )
        return composer.join(block, title, body, fragment.final)

    def parts(self, sequences: Sequence[Sequence[Fragment]]) -> FragmentParts:
        """The parts of what `compose` gives of all fragments, in order; most of them quicker."""
        composer = self.composer
        if self._plain is not None or not composer.leads:
            return parts_of([self.compose(each) for sequence in sequences for each in sequence])
        fragments = [fragment for sequence in sequences for fragment in sequence]
        return self._anew(fragments) if composer.reads_texts else self._stored(fragments)

    def _stored(self, fragments: Sequence[Fragment]) -> FragmentParts:
        """Where stored ids serve as they are."""
        composer, pieces, block_of = self.composer, self.split.pieces, self._block
        labels, bos, eos = composer.label_pairs, composer.bos, composer.eos
        parts: list[np.ndarray] = []
        firsts: list[int] = []
        for fragment in fragments:
            document, start, stop, title, _, _, _, _, _, kept, final, bare = fragment
            if bare:
                piece = self.compose(fragment)
                parts += piece.parts
                firsts.append(piece.first)
            else:
                block = block_of(fragment) if kept else NO_TOKENS
                title_ids, body_ids = pieces(document, title, start, stop)
                title_label, content_label = labels[len(block) > 0][title > 0]
                parts += (
                    block,
                    title_label if title else NO_TOKENS,
                    title_ids,
                    content_label,
                    body_ids,
                    NO_TOKENS,
                    eos if final else NO_TOKENS,
                )
                firsts.append(bos)
            parts.append(NO_TOKENS)
        return FragmentParts(parts, firsts)

    def _anew(self, fragments: Sequence[Fragment]) -> FragmentParts:
        """Where first words are cut anew."""
        composer, texts, block_of = self.composer, self.split.texts, self._block
        labels, bos, eos = composer.label_pairs, composer.bos, composer.eos
        documents = np.array([fragment.document for fragment in fragments])
        words = self.split.words(documents).T.tolist()
        parts: list[np.ndarray] = []
        firsts: list[int] = []
        for fragment, (title_word, body_word) in zip(fragments, words, strict=True):
            if fragment.start or not fragment.final or fragment.bare:
                piece = self.compose(fragment).spliced
                parts += piece.parts
                firsts.append(piece.first)
            else:
                block = block_of(fragment) if fragment.kept else NO_TOKENS
                opened = len(block) > 0
                title_ids, body_ids = texts(fragment.document)
                titled = len(title_ids) > 0
                of_title, of_body = composer.splicers(opened, titled)
                title_label, content_label = labels[opened][titled]
                front, rest = self._spliced(of_title, title_ids, title_word)
                if fragment.title < len(front) + len(rest):
                    front, rest = NO_TOKENS, np.concatenate((front, rest))[: fragment.title]
                parts += (
                    block,
                    title_label if fragment.title else NO_TOKENS,
                    front,
                    rest,
                    content_label,
                    *self._spliced(of_body, body_ids, body_word),
                    NO_TOKENS,
                    eos,
                )
                firsts.append(bos)
            parts.append(NO_TOKENS)
        return FragmentParts(parts, firsts)

    def _spliced(
        self, splicer: Splicer, ids: np.ndarray, word: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """`Splicer.parts` of a text. word: number of its first words; 0 where it is not known."""
        if not word or splicer.anew_back:
            return splicer.parts(ids)
        fronts = self._fronts[splicer]
        found = fronts.get(word)
        if found is None:
            spliced = splicer(ids)
            if spliced.start == len(ids):
                return spliced.parts(ids)
            if len(fronts) >= CACHED:  # each shard numbers its own
                fronts.clear()
            found = fronts[word] = spliced.front, spliced.start
        return found[0], ids[found[1] :]

    def selected(self, fragment: Fragment, selection: TokenSelection) -> np.ndarray:
        """1 for each label of a fragment but those of texts that are not selected, [n]."""
        composer = self.composer_of(fragment)
        title, body = selection.texts(fragment.document)
        block = self._block(fragment) if fragment.kept and composer is self.composer else NO_TOKENS
        titled = len(title) > 0
        if composer.reads_texts:
            splicers = composer.splicers(len(block) > 0, titled)
            stored = self.split.texts(fragment.document)
            title, body = (
                splicer(ids).carried(kept)
                for splicer, ids, kept in zip(splicers, stored, (title, body), strict=True)
            )
        if not fragment.bare:
            title, body = title[: fragment.title], body[fragment.start : fragment.stop]
        final = fragment.bare or fragment.final
        if composer.reads_texts:
            parts = (NO_TOKENS, title), (NO_TOKENS, body)
            piece = composer.join_spliced(block, *parts, final, titled)
        else:
            piece = composer.join(block, title, body, final)
        if fragment.bare:
            piece = piece.cut(fragment.start, fragment.stop + 1)
        return np.concatenate(
            [
                part if kind in (Kind.TITLE, Kind.BODY) else np.ones(len(part), np.uint8)
                for part, kind in zip(piece.parts, KINDS_OF[len(piece.parts)], strict=True)
            ]
        )

    def _compose_anew(self, composer: Composer, fragment: Fragment, block: np.ndarray) -> Composed:
        """The same where texts are cut anew: spans are those of the new ids."""
        title, body = self.split.texts(fragment.document)
        titled = len(title) > 0
        of_title, of_body = composer.splicers(len(block) > 0, titled)
        head = of_title.parts(title)
        if fragment.bare:
            whole = composer.join_spliced(block, head, of_body.parts(body), True, titled)
            return whole.cut(fragment.start, fragment.stop + 1)
        if fragment.title < len(head[0]) + len(head[1]):
            head = NO_TOKENS, np.concatenate(head)[: fragment.title]
        if fragment.start == 0 and fragment.final:
            text = of_body.parts(body)
        else:
            text = NO_TOKENS, of_body(body).take(body, fragment.start, fragment.stop)
        return composer.join_spliced(block, head, text, fragment.final, titled)

    def _block(self, fragment: Fragment) -> np.ndarray:
        """The metadata block that the fragment shows."""
        if self._block_key is None:
            return self._encoded_block(fragment)
        key = self._block_key(fragment)
        block = self._blocks.get(key)
        if block is None:
            if len(self._blocks) >= CACHED_BLOCKS:
                self._blocks.clear()
            block = self._blocks[key] = self._encoded_block(fragment)
        return block

    def _encoded_block(self, fragment: Fragment) -> np.ndarray:
        record = self._told.record(fragment.document)
        return self.composer.prefix_ids(record, fields_of(self.policy, fragment.kept))


def block_key(
    composer: Composer, metadata: OwnMetadata | PlaceboMetadata
) -> Callable[[Fragment], Hashable] | None:
    """What decides which metadata block a fragment shows; None: nothing but its document.

    The key holds the columns that the policy's fields declare. Those that stand in the index are
    taken from there, where they are the document's own; others are read in the store.
    """
    columns = key_columns(composer.lines)
    if columns is None:
        return None
    own = () if composer.policy.placebo else COLUMNS
    indexed = [column for column in columns if column in own]
    others = tuple(column for column in columns if column not in own)
    in_index = attrgetter(*indexed, "kept")
    if not others:
        return in_index
    in_store = metadata.code_reader(others)
    return lambda fragment: (in_index(fragment), in_store(fragment.document))
