"""The rows of one training stage, any of them on demand.

1. `stage_documents` gives each stage documents of its own.
2. Each epoch shuffles them and packs them in windows (`geo_nemo.data.window`).
3. Row i is composed from the store when it is asked for.

Everything follows from (seed, stage name, index): not from ranks, workers or what was read before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import Data, MetadataPolicy, Run, UserError
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.data.counter import derive_key, permute
from geo_nemo.data.dropout import fields_of
from geo_nemo.data.rows import Row, build_row
from geo_nemo.data.window import Counts, Fragment, Planner, Window
from geo_nemo.metadata.compose import NO_TOKENS, Composed, Composer
from geo_nemo.metadata.record import MetadataRecord

if TYPE_CHECKING:
    from geo_nemo.metadata.tokenizer import Tokenizer
    from geo_nemo.store import Split

# Rows are read in order, so the window in use and the one before it are enough.
WINDOWS_IN_MEMORY = 2
CACHED_RECORDS = 65_536
CHUNK = 1 << 20


@dataclass(frozen=True)
class Statistics:
    """How a stage's documents lie in its rows.

    fill: share of positions that hold a token. cut_share: share of documents cut into fragments.
    metadata_share: share of filled positions that hold metadata. epochs: of the stage's documents.
    """

    rows: int
    documents: int
    fragments: int
    cut_documents: int
    cut_titles: int
    fill: float
    cut_share: float
    metadata_share: float
    documents_per_row: float
    epochs: float


class StageDataset:
    """`num_samples` rows of a stage's documents; epoch after epoch where one is not enough.

    split: of a token store. documents: indices into the split, distinct, [n].
    num_samples: rows; None for exactly one epoch.
    Raises UserError when there is no document, or when metadata leaves no room for text in a row.
    """

    def __init__(
        self,
        split: Split,
        data: Data,
        policy: MetadataPolicy,
        tokenizer: Tokenizer,
        documents: np.ndarray,
        seed: int,
        num_samples: int | None = None,
        *,
        stage: str = "",
        progress: Progress = no_progress,
    ):
        if len(documents) == 0:
            name = f"stage {stage}" if stage else "the stage"
            raise UserError(
                f"{name} has no documents in split {split.name}: raise its share or use a larger "
                f"store"
            )
        self.split = split
        self.data = data
        self.policy = policy
        self.tokenizer = tokenizer
        self.stage = stage
        self.seed = seed
        self.composer = Composer(policy, tokenizer)
        self._planner = Planner(
            split,
            self.composer,
            documents,
            derive_key(seed, stage),
            data.seq_length,
            data.packing_window,
        )
        self._counts, self._row_ends = self._index(num_samples, progress)
        self._length = int(self._row_ends[-1]) if num_samples is None else num_samples
        self.window = lru_cache(WINDOWS_IN_MEMORY)(self._planner.plan)
        self._records: dict[tuple[int, int], MetadataRecord] = {}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, sample: int) -> Row:
        window, place = self.locate(sample)
        return self.build(window.row(place))

    @property
    def num_documents(self) -> int:
        """Documents that the stage draws from."""
        return len(self._planner.documents)

    @property
    def num_windows(self) -> int:
        """Windows that the rows come from; the last may be used in part."""
        return len(self._row_ends)

    @property
    def windows_per_epoch(self) -> int:
        """Windows that hold each document once."""
        return self._planner.windows_per_epoch

    def locate(self, sample: int) -> tuple[Window, int]:
        """The window of a row and the row's place in it."""
        if not 0 <= sample < self._length:
            raise IndexError(f"sample {sample} of {self._length}")
        number = int(np.searchsorted(self._row_ends, sample, side="right"))
        before = int(self._row_ends[number - 1]) if number else 0
        return self.window(number), sample - before

    def build(self, fragments: Sequence[Fragment]) -> Row:
        """The row of planned fragments; `UserError` where a token id is none of the tokenizer."""
        row = build_row(
            [self.compose(fragment) for fragment in fragments],
            self.split.country[[fragment.document for fragment in fragments]],
            self.data.seq_length,
            self.tokenizer.pad_id,
            self.policy.mask_loss,
        )
        if max(row.tokens.max(), row.labels.max()) >= self.tokenizer.vocab_size:
            documents = sorted({fragment.document for fragment in fragments})
            raise UserError(
                f"documents {documents} of split {self.split.name} hold token ids above the "
                f"tokenizer's {self.tokenizer.vocab_size}: the store is damaged; "
                f"geo-nemo prep --verify {self.data.store} names the file"
            )
        return row

    def compose(self, fragment: Fragment) -> Composed:
        """The tokens and kinds of a planned fragment."""
        document = fragment.document
        title = self.split.title(document)[: fragment.title] if fragment.title else NO_TOKENS
        return self.composer.compose(
            self._record(document) if fragment.kept else None,
            title,
            self.split.body(document)[fragment.start : fragment.stop],
            fields=fields_of(self.policy, fragment.kept),
            final=fragment.final,
        )

    def statistics(self) -> Statistics:
        """Fill, cuts and share of metadata over all windows that the rows come from."""
        counts = self._counts
        return Statistics(
            rows=counts.rows,
            documents=counts.documents,
            fragments=counts.fragments,
            cut_documents=counts.cut_documents,
            cut_titles=counts.cut_titles,
            fill=counts.positions / (counts.rows * self.data.seq_length),
            cut_share=counts.cut_documents / counts.documents,
            metadata_share=counts.metadata_tokens / counts.positions,
            documents_per_row=counts.fragments / counts.rows,
            epochs=counts.documents / self.num_documents,
        )

    def fingerprint(self) -> dict[str, int | str]:
        """What decides the rows; two datasets with the same one on one store give the same rows."""
        return {
            "stage": self.stage,
            "seed": self.seed,
            "documents": self.num_documents,
            "seq_length": self.data.seq_length,
            "packing_window": self.data.packing_window,
            "policy": self.policy.hash(),
            "tokenizer": self.tokenizer.sha256,
        }

    def _index(self, num_samples: int | None, progress: Progress) -> tuple[Counts, np.ndarray]:
        """Plan windows until there are rows enough; what stays is one number a window."""
        counts = Counts()
        row_ends: list[int] = []
        per_epoch = self._planner.windows_per_epoch
        while counts.rows < num_samples if num_samples is not None else len(row_ends) < per_epoch:
            counts += self._planner.plan(len(row_ends)).counts
            row_ends.append(counts.rows)
            if num_samples is None:
                progress(f"index {self.stage}", len(row_ends), per_epoch)
            else:
                progress(f"index {self.stage}", min(counts.rows, num_samples), num_samples)
        return counts, np.array(row_ends, dtype=np.int64)

    def _record(self, document: int) -> MetadataRecord:
        if self.policy.url_form != "host":
            return self.split.record(document)
        key = (int(self.split.host[document]), int(self.split.country[document]))
        record = self._records.get(key)
        if record is None:
            if len(self._records) >= CACHED_RECORDS:
                self._records.clear()
            record = self._records[key] = self.split.record(document)
        return record


def stage_documents(num_documents: int, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Disjoint random subsets of range(num_documents), one a stage, in proportion to `shares`.

    Each is sorted, uint32 (int64 from 2^32 documents on); together they hold every document. Raises
    UserError when there are fewer documents than stages; otherwise no stage is left without one.
    """
    if num_documents < len(shares):
        raise UserError(
            f"{num_documents} documents for {len(shares)} stages: use a larger store or fewer "
            f"stages, since no document serves two"
        )
    bounds = np.rint(np.cumsum(shares) / np.sum(shares) * num_documents).astype(np.int64)
    stages = np.arange(1, len(shares) + 1)
    bounds = np.maximum.accumulate(np.maximum(bounds, stages) - stages) + stages
    bounds = np.minimum(bounds, num_documents - len(shares) + stages)
    key = derive_key(seed, "stages")
    dtype = np.uint32 if num_documents <= 1 << 32 else np.int64
    chunks: list[list[np.ndarray]] = [[] for _ in shares]
    for first in range(0, num_documents, CHUNK):
        documents = np.arange(first, min(first + CHUNK, num_documents))
        stage_of = np.searchsorted(bounds, permute(key, num_documents, documents), side="right")
        for stage, chunk in enumerate(chunks):
            chunk.append(documents[stage_of == stage].astype(dtype))
    return [np.concatenate(chunk) for chunk in chunks]


def stage_dataset(
    run: Run,
    split: Split,
    tokenizer: Tokenizer,
    stage: str,
    num_samples: int | None = None,
    progress: Progress = no_progress,
) -> StageDataset:
    """The rows of one stage of a run, over its own documents of `split`."""
    shares = [each.share for each in run.stages.values()]
    documents = stage_documents(split.num_documents, shares, run.seed)
    return StageDataset(
        split,
        run.data,
        run.stages[stage].metadata,
        tokenizer,
        documents[list(run.stages).index(stage)],
        run.seed,
        num_samples,
        stage=stage,
        progress=progress,
    )
