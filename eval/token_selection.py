"""Which tokens are worth training on: those that a model has yet to learn, and a reference has.

Of each document the top share of its tokens is kept by excess loss, the loss of the model that is
to be trained less that of the reference (Rho-1, Lin et al. 2024, arXiv 2404.07965). The model is
that of the training's start, so that the choice is data: the same for every layout and resume.
"""

import math
from collections.abc import Iterator

import numpy as np

from eval.model import Model
from eval.scorers.base import Scorer
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import MetadataPolicy, RunError
from geo_nemo.data.sequences import build_sequence
from geo_nemo.metadata.blocks import NO_TOKENS
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.record import Kind
from geo_nemo.store import Split
from geo_nemo.tokenizers.base import Tokenizer

# Positions of a sequence, by what a model takes in a segment.
SEGMENTS = 4


def untold(model: Model) -> MetadataPolicy:
    """Told nothing, in stored tokens as they are, by the template of a model's last stage."""
    last = next(reversed(model.stages.values()), None)
    template = last.metadata.template if last is not None else MetadataPolicy().template
    return MetadataPolicy(fields=(), template=template, cut="parts")


def top_share(excess: np.ndarray, share: float) -> np.ndarray:
    """True for the ceil(share * n) largest, the earlier one of equals, bool [n]."""
    kept = np.zeros(len(excess), bool)
    kept[np.argsort(-excess, kind="stable")[: math.ceil(share * len(excess))]] = True
    return kept


def selected(
    model: Scorer,
    reference: Scorer,
    split: Split,
    tokenizer: Tokenizer,
    share: float,
    progress: Progress = no_progress,
    policy: MetadataPolicy | None = None,
) -> Iterator[np.ndarray]:
    """Which tokens of each document are kept, bool [n], title and body, in order.

    policy: what both models are told; None: nothing, behind labels.
    """
    length = min(model.seq_length, reference.seq_length)
    composer = Composer(policy or MetadataPolicy(fields=()), tokenizer)
    documents = _batches(split, composer, length)
    for done, (numbers, pieces) in enumerate(documents):
        excess = _nll(model, pieces, tokenizer) - _nll(reference, pieces, tokenizer)
        of = np.repeat(numbers, [_texts(piece) for piece in pieces])
        for number in range(numbers[0], numbers[-1] + 1):
            found = excess[of == number]
            if not np.isfinite(found).all():
                raise RunError(f"the loss of document {number} is not finite: give another model")
            size = int(split.title_lengths[number] + split.body_lengths[number])
            # A title beyond what a model takes in is not scored, and so not kept.
            yield np.pad(top_share(found, share), (0, size - len(found)))
        if done % 16 == 0:
            progress("score", numbers[-1] + 1, split.num_documents)
    progress("score", split.num_documents, split.num_documents)


def about(model: Model, reference: Model, share: float) -> dict[str, object]:
    """What a record keeps of how a selection was made."""
    return {"share": share, "model": model.identity, "reference": reference.identity}


def _batches(
    split: Split, composer: Composer, length: int
) -> Iterator[tuple[np.ndarray, list[Composed]]]:
    """Pieces of whole documents, and the document of each, that fill a sequence together."""
    numbers: list[int] = []
    pieces: list[Composed] = []
    positions = 0
    for number in range(split.num_documents):
        for piece in _pieces(split, composer, number, length):
            numbers.append(number)
            pieces.append(piece)
            positions += sum(map(len, piece.parts))
        if positions >= SEGMENTS * length:
            yield np.array(numbers), pieces
            numbers, pieces, positions = [], [], 0
    if pieces:
        yield np.array(numbers), pieces


def _pieces(split: Split, composer: Composer, number: int, length: int) -> Iterator[Composed]:
    """A document in pieces of at most `length` positions."""
    title, body = split.texts(number)
    labels = len(composer.title_label()) + len(composer.content_label())
    title = title[: length - labels - 1]
    start, shown = 0, title
    while True:
        stop = start + max(length - labels - len(shown), 1)
        yield composer.join(NO_TOKENS, shown, body[start:stop], final=False)
        start, shown = stop, title[:0]
        if start >= len(body):
            return


def _texts(piece: Composed) -> int:
    return int(np.isin(piece.kinds, (Kind.TITLE, Kind.BODY)).sum())


def _nll(scorer: Scorer, pieces: list[Composed], tokenizer: Tokenizer) -> np.ndarray:
    """-log p of the texts' tokens, piece by piece, float64 [n]."""
    positions = sum(len(piece.ids) - 1 for piece in pieces)
    sequence = build_sequence(pieces, [0] * len(pieces), positions, tokenizer.pad_id, True)
    nll = np.asarray(scorer.nll(sequence), np.float64)
    return nll[np.isin(sequence.label_kinds, (Kind.TITLE, Kind.BODY))]
