"""Scores documents in one condition: packs them, asks the model, un-mixes the answer.

1. Documents are composed with the record that the condition shows, and packed best-fit.
2. The scorer gives the negative log-likelihood of every label of a sequence.
3. `segment_ids` and `label_kinds` give back title, body and EOS of each document.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from eval.conditions import View
from eval.documents import Documents, RecordOf, shown_texts, token_hash
from eval.scorers.base import Batches, Scorer
from eval.texts import Tokens
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import RunError
from geo_nemo.data.packing import best_fit
from geo_nemo.data.sequences import PackedSequence, build_sequence
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.record import Kind

# Tokens of a text before which each band of places ends; the last has no end.
BANDS = (8, 16, 32, 64, 128, 256, 512, 1024, None)


@dataclass(frozen=True)
class Scores:
    """Summed negative log-likelihood of each document, nats, float64 [n] each.

    places: float64 [n, len(BANDS)], of title and body together, by the place in the text; None in
        results of before it was kept.
    """

    title: np.ndarray
    body: np.ndarray
    eos: np.ndarray
    places: np.ndarray | None = None

    @property
    def text(self) -> np.ndarray:
        """Title and body together."""
        return self.title + self.body


def score_documents(
    scorer: Scorer,
    split: Tokens,
    documents: Documents,
    composer: Composer | View,
    record_of: RecordOf,
    *,
    packed_length: int,
    run: str,
    condition: str,
    guidance: float | None = None,
    progress: Progress = no_progress,
) -> Scores:
    """Scores of all documents under one condition of one run.

    packed_length: of a sequence. run, condition: named in errors. guidance: its strength, where
    told is compared with not told. Raises RunError where a model's
    likelihood is not finite, and AssertionError where the scored tokens are not those that every
    condition of labels must score.
    """
    sums = (np.zeros(len(documents)) for _ in range(3))
    scores = Scores(*sums, places=np.zeros((len(documents), len(BANDS))))

    def compose(place: int, told: bool = True) -> Composed:
        title, body = shown_texts(split, documents, place, composer)
        record = record_of(int(documents.index[place])) if told else None
        return composer.join(
            composer.prefix_ids(record), title, body, final=bool(documents.whole[place])
        )

    def build(places: np.ndarray, length: int, told: bool = True) -> PackedSequence:
        composed = [compose(place, told) for place in places]
        pad = composer.tokenizer.pad_id
        return build_sequence(composed, documents.country[places], length, pad, True)

    # Composed twice, here for its length only, so that no condition's tokens are held at once.
    positions = np.array([len(compose(place).ids) - 1 for place in range(len(documents))])
    done = 0
    for places, length in sequences_of(scorer, positions, packed_length):
        sequence = build(places, length)
        if guidance is None:
            found = scorer.nll(sequence)
        else:
            found = scorer.guided(sequence, build(places, length, told=False), guidance)
        nll = np.asarray(found, dtype=np.float64)
        check_finite(
            sequence, nll, [f"document {documents.index[p]}" for p in places], run, condition
        )
        if getattr(composer, "bare", None) is None:  # else `shown_texts` has compared the texts
            _check_tokens(sequence, documents, places, run, condition)
        for kind, sums in ((Kind.TITLE, scores.title), (Kind.BODY, scores.body),
                           (Kind.EOS, scores.eos)):  # fmt: skip
            sums[places] = segment_sums(sequence, nll, sequence.label_kinds == kind, len(places))
        scores.places[places] = band_sums(sequence, nll, len(places))
        done += len(places)
        progress(f"{run}, {condition}", done, len(documents))
    return scores


def sequences_of(
    scorer: Scorer, positions: np.ndarray, packed_length: int
) -> Iterator[tuple[np.ndarray, int]]:
    """The items of each sequence and its length: as the scorer likes them, or best-fit."""
    if isinstance(scorer, Batches):
        yield from ((places, int(positions[places].sum())) for places in scorer.batches(positions))
    else:
        yield from ((places, packed_length) for places in pack(positions, packed_length))


def band_sums(sequence: PackedSequence, nll: np.ndarray, segments: int) -> np.ndarray:
    """Nats of title and body of each segment by `BANDS`, float64 [segments, bands]."""
    text = np.flatnonzero(
        (sequence.label_kinds == Kind.TITLE) | (sequence.label_kinds == Kind.BODY)
    )
    owner = sequence.segment_ids[text]
    counts = np.bincount(owner, minlength=segments)
    # Labels of a segment stand one behind the other: the place is the count since it began.
    place = np.arange(len(text)) - (np.cumsum(counts) - counts)[owner]
    band = np.searchsorted(np.array(BANDS[:-1]), place, side="right")
    flat = np.bincount(owner * len(BANDS) + band, nll[text], segments * len(BANDS))
    return flat.reshape(segments, len(BANDS))


def pack(positions: np.ndarray, packed_length: int) -> Iterator[np.ndarray]:
    """Best-fit sequences of items that take `positions` [n]; yields the items of each sequence."""
    sequence_of, sequences = best_fit(positions, packed_length)
    order = np.argsort(sequence_of, kind="stable")
    yield from np.split(order, np.searchsorted(sequence_of[order], np.arange(1, sequences)))


def segment_sums(
    sequence: PackedSequence, nll: np.ndarray, where: np.ndarray, segments: int
) -> np.ndarray:
    """Sum of `nll` over the positions `where` of each segment, float64 [segments]."""
    return np.bincount(sequence.segment_ids[where], weights=nll[where], minlength=segments)


def check_finite(
    sequence: PackedSequence, nll: np.ndarray, names: list[str], run: str, condition: str
) -> None:
    """Raise RunError where a label of title, body or EOS has a likelihood that is not finite."""
    bad = np.flatnonzero((sequence.loss_mask > 0) & ~np.isfinite(nll))
    if len(bad):
        name = names[sequence.segment_ids[bad[0]]]
        raise RunError(
            f"run {run}, condition {condition}, {name}: the negative log-likelihood is "
            f"{nll[bad[0]]}; "
            f"the checkpoint has diverged or overflows in its precision"
        )


def _check_tokens(
    sequence: PackedSequence, documents: Documents, places: np.ndarray, run: str, condition: str
) -> None:
    """The labels that are summed must be the document's scored tokens, by number and by hash."""
    for segment, place in enumerate(places.tolist()):
        mine = slice(sequence.cu_seqlens[segment], sequence.cu_seqlens[segment + 1])
        labels, kinds = sequence.labels[mine], sequence.label_kinds[mine]
        title, body = labels[kinds == Kind.TITLE], labels[kinds == Kind.BODY]
        same = (
            len(title) == documents.title_tokens[place]
            and len(body) == documents.body_tokens[place]
            and token_hash(np.concatenate([title, body])) == documents.token_hash[place]
        )
        if not same:
            raise AssertionError(
                f"run {run}, condition {condition}, document {documents.index[place]}: the scored "
                "tokens "
                f"differ from those of the other conditions"
            )
