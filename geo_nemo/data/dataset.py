"""The sequences of one training stage, any of them on demand.

1. The stage's documents are drawn and packed in windows (`geo_nemo.data.window`).
2. The index keeps what each sequence holds (`geo_nemo.data.index.read`).
3. Sequence i is composed from the store when it is asked for.

Everything follows from (seed, stage name, index): not from ranks, workers or what was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Data, MetadataPolicy, Run, UserError
from geo_nemo.config.stage_bounds import own_samples
from geo_nemo.config.stage_sizes import stage_run
from geo_nemo.data.brought_packing import packing_identity
from geo_nemo.data.counter import derive_key
from geo_nemo.data.draws import Draws, EpochDraws
from geo_nemo.data.dropout import SHOWN, fields_of, is_plain
from geo_nemo.data.fragments import Fragment
from geo_nemo.data.groups import Grouping, by_country
from geo_nemo.data.index.build import Extent, build
from geo_nemo.data.index.read import Index, as_entry
from geo_nemo.data.index.write import MemorySink
from geo_nemo.data.placebo import OwnMetadata, PlaceboMetadata, told
from geo_nemo.data.replay import AnyIndex
from geo_nemo.data.run_draws import all_draws
from geo_nemo.data.sequences import Block, PackedSequence, build_sequences
from geo_nemo.data.token_selection import TokenSelection
from geo_nemo.data.window import Counts, Planner
from geo_nemo.metadata.blocks import NO_TOKENS
from geo_nemo.metadata.compose import KINDS_OF, Composed, Composer
from geo_nemo.metadata.fields import key_columns
from geo_nemo.metadata.record import Kind

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.tokenizers.base import Tokenizer

CACHED_BLOCKS = 65_536


@dataclass(frozen=True)
class Statistics:
    """How a stage's documents lie in its sequences.

    fill: fraction of positions that hold a token. cut_fraction: fraction of documents cut into
    fragments.
    later_fraction: fraction of text tokens whose sequence lacks the start of their document.
    metadata_fraction: fraction of filled positions that hold metadata. epochs: of the stage's
    documents.
    """

    sequences: int
    documents: int
    fragments: int
    cut_documents: int
    cut_titles: int
    fill: float
    cut_fraction: float
    later_fraction: float
    metadata_fraction: float
    documents_per_sequence: float
    epochs: float

    @classmethod
    def of(cls, counts: Counts, num_documents: int, seq_length: int) -> Statistics:
        """What packing counted, over `num_documents` different documents."""
        return cls(
            sequences=counts.sequences,
            documents=counts.documents,
            fragments=counts.fragments,
            cut_documents=counts.cut_documents,
            cut_titles=counts.cut_titles,
            fill=counts.positions / (counts.sequences * seq_length),
            cut_fraction=counts.cut_documents / counts.documents,
            later_fraction=counts.later_text_tokens / max(counts.text_tokens, 1),
            metadata_fraction=counts.metadata_tokens / counts.positions,
            documents_per_sequence=counts.fragments / counts.sequences,
            epochs=counts.documents / num_documents,
        )


class StageDataset:
    """`num_samples` sequences of a stage's documents; epoch after epoch where one is not enough.

    split: of a token store. documents: indices into the split, distinct, [n], taken as they are;
    or draws of them. num_samples: sequences; None for all of the index.
    index: of the sequences, from `geo_nemo.data.index.cache`; planned here, in memory, where it is
    None.
    extent: how much is then planned; for `num_samples` sequences, or one epoch, where it is None.
    groups: of `group_ids` and of the ledger; by country where it is None.
    selection: of the tokens of texts that are trained; all where it is None.
    Raises UserError when there is no document, or when metadata leaves no room for text in a
    sequence.
    """

    def __init__(
        self,
        split: Split,
        data: Data,
        policy: MetadataPolicy,
        tokenizer: Tokenizer,
        documents: np.ndarray | Draws,
        seed: int,
        num_samples: int | None = None,
        *,
        stage: str = "",
        index: AnyIndex | None = None,
        extent: Extent | None = None,
        groups: Grouping | None = None,
        progress: Progress = no_progress,
        selection: TokenSelection | None = None,
    ):
        self.split = split
        self.selection = selection
        self.groups = groups or by_country(split)
        self._group_of = self.groups.reader(split)
        self.data = data
        self.policy = policy
        self.tokenizer = tokenizer
        self.stage = stage
        self.seed = seed
        self.composer = Composer(policy, tokenizer)
        self._plain = self.composer.plain()
        key = derive_key(seed, stage)
        self.draws: Draws = (
            EpochDraws(documents, key, data.packing_window)
            if isinstance(documents, np.ndarray)
            else documents
        )
        self._key = key
        self.index = self._plan(num_samples, extent, progress) if index is None else index
        self._length = len(self.index) if num_samples is None else num_samples
        self._told = told(split, policy)
        self._block_key = block_key(self.composer, self._told)
        self._blocks: dict[Hashable, np.ndarray] = {}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, sample: int) -> PackedSequence:
        return self.build(self.fragments(sample))

    def fragments(self, sample: int) -> list[Fragment]:
        """What sequence `sample` holds, in order."""
        if not 0 <= sample < self._length:
            raise IndexError(f"sample {sample} of {self._length}")
        return self.index.sequence(sample)

    @cached_property
    def planner(self) -> Planner:
        """Plans the windows that the index was made of, for who compares them."""
        return Planner(self.split, self.composer, self.draws, self._key, self.data, self.groups)

    @property
    def num_documents(self) -> int:
        """Documents that the stage draws from."""
        return self.index.documents

    def ledger(self, consumed_samples: int) -> dict[str, dict[str, int]]:
        """What the first `consumed_samples` sequences hold by the first field: `{"gb": LEDGER}`.

        The same for any number of ranks. Groups of which nothing was seen are left out.
        """
        if not 0 <= consumed_samples <= self._length:
            raise ValueError(f"{consumed_samples} samples of {self._length}")
        sums = self.index.ledger(consumed_samples, partial(self.groups.planned, self.split))
        return self.groups.by(sums, as_entry)[self.groups.fields[0]]

    def shown(self, consumed_samples: int) -> dict[str, dict[str, int]]:
        """The same by how documents are shown, `dropout.SHOWN`; what was not is left out."""
        sums = self.index.shown(consumed_samples, self.policy)
        entries = zip(SHOWN, map(as_entry, sums), strict=True)
        return {name: entry for name, entry in entries if entry}

    def block(self, samples: Sequence[int]) -> Block:
        """The sequences of `samples`, together; errors as `build`."""
        return self._build([self.fragments(sample) for sample in samples])

    def build(self, fragments: Sequence[Fragment]) -> PackedSequence:
        """The sequence of planned fragments; `UserError` where an id is none of the tokenizer."""
        return self._build([fragments]).sequence(0)

    def _build(self, sequences: Sequence[Sequence[Fragment]]) -> Block:
        group_of = self._group_of
        block = build_sequences(
            [
                ([self.compose(each) for each in sequence], [group_of(each) for each in sequence])
                for sequence in sequences
            ],
            self.data.seq_length,
            self.tokenizer.pad_id,
            self.policy.mask_loss,
            self.policy.loss_weights,
        )
        if self.selection is not None:
            self._select(block, sequences)
        known = self.tokenizer.vocab_size + self.policy.meta_tokens
        if block.labels.max() >= known or block.tokens.max() >= known:
            documents = sorted(
                {fragment.document for sequence in sequences for fragment in sequence}
            )
            raise UserError(
                f"documents {documents} of split {self.split.name} hold token ids above the "
                f"tokenizer's {self.tokenizer.vocab_size}: the store is damaged; "
                f"geo-nemo store verify {self.data.store} names the file"
            )
        return block

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

    def _select(self, block: Block, sequences: Sequence[Sequence[Fragment]]) -> None:
        """Take tokens that are not selected out of the loss, in place."""
        weights = block.loss_mask.reshape(-1)
        for first, sequence in zip(block.first_segments, sequences, strict=False):
            for place, fragment in enumerate(sequence):
                start, size = block.starts[first + place], block.lengths[first + place]
                weights[start : start + size] *= self.selected(fragment)

    def selected(self, fragment: Fragment) -> np.ndarray:
        """1 for each label of a fragment but those of texts that are not selected, [n]."""
        assert self.selection is not None
        composer = self.composer_of(fragment)
        title, body = self.selection.texts(fragment.document)
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

    def composer_of(self, fragment: Fragment) -> Composer:
        """What composes a fragment: that of plain texts where it is shown so."""
        if self._plain is not None and is_plain(self.policy, fragment.kept):
            return self._plain
        return self.composer

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

    def statistics(self) -> Statistics:
        """Fill, cuts and fraction of metadata over all windows that the sequences come from."""
        return Statistics.of(self.index.counts, self.num_documents, self.data.seq_length)

    def fingerprint(self) -> dict[str, int | str]:
        """What decides the sequences: two datasets with the same one on one store give the same."""
        return {
            "stage": self.stage,
            "seed": self.seed,
            "documents": self.num_documents,
            "seq_length": self.data.seq_length,
            "packing": packing_identity(self.data),
            "prefix_fragments": self.data.prefix_fragments,
            "packing_window": self.data.packing_window,
            "policy": self.policy.hash(),
            "tokenizer": self.tokenizer.sha256,
            **({"token_selection": self.selection.identity} if self.selection else {}),
        }

    def _plan(self, num_samples: int | None, extent: Extent | None, progress: Progress) -> Index:
        documents = len(self.draws.documents)
        if documents == 0:
            name = f"stage {self.stage}" if self.stage else "the stage"
            raise UserError(
                f"{name} has no documents in split {self.split.name}: raise its fraction or use a "
                f"larger store"
            )
        if extent is None:
            epoch = self.draws.windows_per_epoch if num_samples is None else None
            extent = Extent(num_samples, epoch)
        sink = MemorySink(self.planner.dtype, self.planner.num_groups)
        build(self.planner, extent, sink, progress=progress, name=self.stage)
        return sink.finish(documents)

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
    own = [] if composer.policy.placebo else Fragment._fields
    indexed = [column for column in columns if column in own]
    others = tuple(column for column in columns if column not in own)
    in_index = attrgetter(*indexed, "kept")
    if not others:
        return in_index
    in_store = metadata.code_reader(others)
    return lambda fragment: (in_index(fragment), in_store(fragment.document))


def selection_of(run: Run, split: Split, stage: str) -> TokenSelection | None:
    """The tokens that a stage trains; None: all."""
    folder = run.stages[stage].token_selection
    return None if folder is None else TokenSelection(folder, split)


def stage_dataset(
    run: Run,
    split: Split,
    tokenizer: Tokenizer,
    stage: str,
    num_samples: int | None = None,
    progress: Progress = no_progress,
    *,
    at_least_sequences: int | None = None,
    groups: Grouping | None = None,
) -> StageDataset:
    """Sequences of one stage of a run, planned in memory, without those that it replays.

    num_samples: how many; None for an epoch, or for what the run takes where groups are mixed.
    at_least_sequences: then only so many, rounded up to whole windows.
    """
    draws = all_draws(run, split, tokenizer, [stage])[stage]
    if num_samples is None and draws.windows_per_epoch is None:
        at_least_sequences = min(
            at_least_sequences or own_samples(run, stage), own_samples(run, stage)
        )
    return StageDataset(
        split,
        stage_run(run, stage).data,
        run.stages[stage].metadata,
        tokenizer,
        draws,
        run.seed,
        num_samples,
        stage=stage,
        extent=Extent(at_least_sequences, draws.windows_per_epoch) if num_samples is None else None,
        groups=groups,
        progress=progress,
        selection=selection_of(run, split, stage),
    )
