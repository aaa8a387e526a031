"""The sequences of one training stage, any of them on demand.

1. The stage's documents are drawn and packed in windows (`geo_nemo.data.window`).
2. The index keeps what each sequence holds (`geo_nemo.data.index.read`).
3. Sequence i is composed from the store when it is asked for.

Everything follows from (seed, stage name, index): not from ranks, workers or what was read before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Data, MetadataPolicy, Run, UserError
from geo_nemo.config.stage_bounds import own_samples
from geo_nemo.config.stage_sizes import stage_run
from geo_nemo.data.brought_packing import packing_identity
from geo_nemo.data.composing import FragmentComposer
from geo_nemo.data.counter import derive_key
from geo_nemo.data.draws import Draws, EpochDraws
from geo_nemo.data.dropout import SHOWN
from geo_nemo.data.fragments import Fragment
from geo_nemo.data.groups import Grouping, by_country
from geo_nemo.data.index.build import Extent, build
from geo_nemo.data.index.read import Index, as_entry
from geo_nemo.data.index.write import MemorySink
from geo_nemo.data.replay import AnyIndex
from geo_nemo.data.run_draws import all_draws
from geo_nemo.data.sequences import Block, PackedSequence, build_block
from geo_nemo.data.token_selection import TokenSelection
from geo_nemo.data.window import Counts, Planner
from geo_nemo.metadata.fields import brought_fields

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.tokenizers.base import Tokenizer


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
        self.composing = FragmentComposer(split, policy, tokenizer)
        self.composer = self.composing.composer
        key = derive_key(seed, stage)
        self.draws: Draws = (
            EpochDraws(documents, key, data.packing_window)
            if isinstance(documents, np.ndarray)
            else documents
        )
        self._key = key
        self.index = self._plan(num_samples, extent, progress) if index is None else index
        self._length = len(self.index) if num_samples is None else num_samples

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
        block = build_block(
            self.composing.parts(sequences),
            list(map(len, sequences)),
            [self._group_of(each) for sequence in sequences for each in sequence],
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

    def _select(self, block: Block, sequences: Sequence[Sequence[Fragment]]) -> None:
        """Take tokens that are not selected out of the loss, in place."""
        assert self.selection is not None
        weights = block.loss_mask.reshape(-1)
        for first, sequence in zip(block.first_segments, sequences, strict=False):
            for place, fragment in enumerate(sequence):
                start, size = block.starts[first + place], block.lengths[first + place]
                weights[start : start + size] *= self.composing.selected(fragment, self.selection)

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
            **({"brought_fields": brought} if (brought := brought_fields(self.policy)) else {}),
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
