"""Plans the sequences of one window of documents, from the window's number alone.

1. The stage's draws give the window's documents.
2. Dropout decides which metadata fields each shows; lengths follow without composing anything.
3. Documents are cut and packed, and the sequences are shuffled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import Data, UserError
from geo_nemo.data.brought_packing import make_packing
from geo_nemo.data.counter import derive_key, permute
from geo_nemo.data.draws import Drawn, Draws
from geo_nemo.data.dropout import are_plain, kept_fields, mask_dtype, shown
from geo_nemo.data.fragments import Fragment, fragment_dtype, fragments_of
from geo_nemo.data.groups import Grouping, by_country
from geo_nemo.data.lengths import MetadataLengths
from geo_nemo.data.packing import DocumentLengths, Fragments, too_long_heads
from geo_nemo.data.text_lengths import TextLengths
from geo_nemo.metadata.compose import Composer

if TYPE_CHECKING:
    from geo_nemo.store import Split

# Files keep the name that sequences once had.
_IN_FILES = {"sequences": "rows"}


@dataclass(frozen=True)
class Counts:
    """What packing did; counts add up over windows.

    positions: places of sequences that hold a token, `sequences * seq_length` less the padding.
    metadata_tokens: those of metadata blocks, among labels. text_tokens: those of titles and
    bodies; later_text_tokens: of them, those in a fragment that is not its document's first.
    """

    sequences: int = 0
    documents: int = 0
    fragments: int = 0
    cut_documents: int = 0
    cut_titles: int = 0
    positions: int = 0
    metadata_tokens: int = 0
    text_tokens: int = 0
    later_text_tokens: int = 0

    def __add__(self, other: Counts) -> Counts:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)}
        return Counts(**sums)

    def for_file(self) -> dict[str, int]:
        """The counts by their names in an index."""
        return {_IN_FILES.get(name, name): count for name, count in asdict(self).items()}

    @classmethod
    def of_file(cls, found: Mapping[str, int]) -> Counts:
        """What `for_file` gave; `KeyError`, `TypeError` where it is not that."""
        return cls(**{f.name: found[_IN_FILES.get(f.name, f.name)] for f in fields(cls)})


@dataclass(frozen=True)
class Window:
    """The planned sequences of one window.

    fragments: array of `fragment_dtype`, [m], ordered by sequence. draws: which of the `drawn`
    documents each is a part of, [m].
    sequence_starts: int64 [sequences + 1]; sequence r holds the fragments sequence_starts[r] to
    sequence_starts[r + 1].
    """

    fragments: np.ndarray
    draws: np.ndarray
    sequence_starts: np.ndarray
    drawn: Drawn
    counts: Counts

    def __len__(self) -> int:
        return len(self.sequence_starts) - 1

    def span(self, place: int) -> slice:
        """Where the fragments of one sequence stand."""
        return slice(int(self.sequence_starts[place]), int(self.sequence_starts[place + 1]))

    def sequence(self, place: int) -> list[Fragment]:
        """The fragments of one sequence, in order."""
        return fragments_of(self.fragments[self.span(place)])


class Planner:
    """Plans any window of a stage, in any order.

    key: of the stage, `derive_key(seed, stage)`. draws: which documents each window holds.
    groups: by which an index sums up; by country where it is None.
    """

    def __init__(
        self,
        split: Split,
        composer: Composer,
        draws: Draws,
        key: int,
        data: Data,
        groups: Grouping | None = None,
    ):
        self.draws = draws
        self._groups = groups or by_country(split)
        self.num_groups = self._groups.size
        self.dtype = fragment_dtype(split.num_documents, data.seq_length, composer.policy)
        self._split = split
        self._composer = composer
        self._plain = composer.plain()
        self._key = key
        self._data = data
        self._packing = make_packing(data)
        self._metadata_lengths = MetadataLengths(composer, split)
        self._text_lengths = {
            each: TextLengths(each, split) for each in (composer, self._plain) if each is not None
        }

    def group_of(self, fragments: np.ndarray) -> np.ndarray:
        """The group of each of some fragments, int64 [m]."""
        return self._groups.planned(self._split, fragments)

    def shown_of(self, fragments: np.ndarray) -> np.ndarray:
        """How each of some fragments is shown, places in `dropout.SHOWN`, int64 [m]."""
        return shown(self._composer.policy, fragments["kept"])

    def plan(self, number: int) -> Window:
        """Window `number`, counted over epochs."""
        drawn = self.draws.window(number)
        chosen = drawn.documents
        kept = self._kept(drawn)
        metadata = self._metadata_lengths(chosen, kept)
        plain = are_plain(self._composer.policy, kept)
        lengths = self._lengths(self._composer, chosen, metadata)
        if self._plain is not None and plain.any():
            bare = self._lengths(self._plain, chosen[plain], metadata[plain])
            for part in fields(DocumentLengths):
                getattr(lengths, part.name)[plain] = getattr(bare, part.name)
        cut, sequence_of, num_sequences = self._pack(chosen, lengths)
        shuffle = derive_key(self._key, "rows", number)
        sequence_of = permute(shuffle, num_sequences, sequence_of) if num_sequences else sequence_of
        # Inside a sequence the order is the window's, which is random: no kind of document comes
        # first.
        by_sequence = np.argsort(sequence_of, kind="stable")

        text, told = self._label_counts(lengths, metadata, plain, cut)
        fragments = np.empty(len(by_sequence), dtype=self.dtype)
        for name, column in (
            ("document", chosen[cut.document]),
            ("start", cut.start),
            ("stop", cut.stop),
            ("title", cut.title),
            ("positions", cut.positions),
            ("text", text),
            ("metadata", told),
            ("host", self._split.host[chosen][cut.document]),
            ("country", self._split.country[chosen][cut.document]),
            ("kept", kept[cut.document]),
            ("final", cut.final),
            ("bare", cut.bare),
        ):
            fragments[name] = column[by_sequence]
        sequence_starts = np.zeros(num_sequences + 1, dtype=np.int64)
        np.cumsum(np.bincount(sequence_of, minlength=num_sequences), out=sequence_starts[1:])
        return Window(
            fragments=fragments,
            draws=cut.document[by_sequence],
            sequence_starts=sequence_starts,
            drawn=drawn,
            counts=Counts(
                sequences=num_sequences,
                documents=len(chosen),
                fragments=len(fragments),
                cut_documents=len(chosen) - int(np.sum(cut.final & (cut.start == 0))),
                cut_titles=int(
                    np.sum((cut.title < lengths.title[cut.document])[(cut.start == 0) & ~cut.bare])
                ),
                positions=int(cut.positions.sum()),
                metadata_tokens=int(told.sum()),
                text_tokens=int(text.sum()),
                later_text_tokens=int(text[cut.start > 0].sum()),
            ),
        )

    def _kept(self, drawn: Drawn) -> np.ndarray:
        policy = self._composer.policy
        kept = np.zeros(len(drawn.documents), mask_dtype(policy))
        for epoch in np.unique(drawn.epochs).tolist():
            places = drawn.epochs == epoch
            kept[places] = kept_fields(policy, self._key, epoch, drawn.documents[places])
        return kept

    def _lengths(
        self, composer: Composer, chosen: np.ndarray, metadata: np.ndarray
    ) -> DocumentLengths:
        opened = metadata > 0
        title, body = self._text_lengths[composer](chosen, opened)
        titled = title > 0
        nothing = np.zeros_like(metadata)
        append = composer.policy.position == "append"
        before, after = (nothing, metadata) if append else (metadata, nothing)
        return DocumentLengths(
            head=1 + len(composer.meta_ids) + before + _content_label(composer, opened, titled),
            title_label=np.where(titled, _either(opened, composer.title_label), 0),
            title=title,
            body=body,
            tail=after + 1,
        )

    def _pack(
        self, chosen: np.ndarray, lengths: DocumentLengths
    ) -> tuple[Fragments, np.ndarray, int]:
        """Fragments, the sequence of each, and the number of sequences."""
        if self._data.prefix_fragments:
            self._check_heads(chosen, lengths)
        return self._packing.pack(lengths)

    def _check_heads(self, chosen: np.ndarray, lengths: DocumentLengths) -> None:
        seq_length = self._data.seq_length
        bad = too_long_heads(lengths, seq_length)
        if len(bad):
            place = bad[0]
            host = self._split.record(int(chosen[place])).host
            needed = lengths.head[place] + lengths.title_label[place] + lengths.tail[place]
            raise UserError(
                f"metadata and labels of a document of {host} take {needed} tokens and leave no "
                f"room for text at seq_length {seq_length}: raise data.seq_length or give "
                f"fewer metadata fields"
            )

    def _label_counts(
        self, lengths: DocumentLengths, metadata: np.ndarray, plain: np.ndarray, cut: Fragments
    ) -> tuple[np.ndarray, np.ndarray]:
        """Text tokens and metadata tokens among the labels of each fragment, int64 [m]."""
        append = self._composer.policy.position == "append"
        of = cut.document
        text = cut.title + cut.stop - cut.start
        told = np.where(cut.final | (not append), metadata[of], 0)
        if cut.bare.any():
            # Labels of a bare piece are the tokens start + 1 to stop of the whole document.
            first, last = cut.start + 1, cut.stop + 1
            content = _content_label(self._composer, metadata > 0, lengths.title > 0)
            content[plain] = 0
            title = (lengths.head + lengths.title_label - content)[of]
            body = (lengths.head + lengths.title_label + lengths.title)[of]
            front = np.full_like(first, 1 + len(self._composer.meta_ids))
            block = (lengths.positions - metadata)[of] if append else front
            inside = _overlap(first, last, title, lengths.title[of])
            inside += _overlap(first, last, body, lengths.body[of])
            text = np.where(cut.bare, inside, text)
            told = np.where(cut.bare, _overlap(first, last, block, metadata[of]), told)
        return text, told


def _either(opened: np.ndarray, label: Callable[[bool], np.ndarray]) -> np.ndarray:
    """Tokens of a label of each document, with metadata or without, int64 [n]."""
    return np.where(opened, len(label(True)), len(label(False)))


def _content_label(composer: Composer, opened: np.ndarray, titled: np.ndarray) -> np.ndarray:
    """Tokens of the label of each body, int64 [n]."""
    behind, beginning = len(composer.content_label(titled=True)), len(composer.content_label(False))
    if behind == beginning:
        return np.full(len(titled), behind)
    return np.where(titled, behind, _either(opened, composer.content_label))


def _overlap(
    first: np.ndarray, last: np.ndarray, start: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """How much of [first, last) lies in the `length` places from `start` on."""
    return np.maximum(np.minimum(last, start + length) - np.maximum(first, start), 0)
