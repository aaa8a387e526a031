"""Whether a model has been trained on a benchmark: Min-K%, and the order of its items.

Min-K% (Shi et al. 2024, arXiv 2310.16789): a text that was trained on has few tokens that surprise.
Order (Oren et al. 2024, arXiv 2310.17623): who has not read a file likes no order of its items more
than another. Overlap by n-grams is looked for while data are prepared (docs/data.md).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.perplexity import sequences_of
from eval.scorers.base import Scorer
from geo_nemo.common.parse import parse_json
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import UserError
from geo_nemo.data.sequences import build_sequence
from geo_nemo.metadata.blocks import NO_TOKENS
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.record import Kind
from geo_nemo.tokenizers.base import Tokenizer

MIN_K = 0.2
# What a line of a benchmark's file has its text under, the first that is there.
TEXTS = ("text", "question", "prompt", "instruction")
LEAST_ITEMS = 4


def min_k(nll: np.ndarray, share: float = MIN_K) -> float:
    """Mean nats of the `share` of tokens that are least likely, at least one."""
    count = max(1, int(len(nll) * share))
    return float(np.sort(nll)[-count:].mean())


def body_losses(
    scorer: Scorer, items: Sequence[Composed], packed_length: int, pad_id: int
) -> list[np.ndarray]:
    """-log p of each token of each item's body, nats, float64."""
    positions = np.array([len(item.ids) - 1 for item in items])
    found: list[np.ndarray] = [np.empty(0)] * len(items)
    for places, length in sequences_of(scorer, positions, packed_length):
        here = [items[place] for place in places]
        sequence = build_sequence(here, [0] * len(here), length, pad_id, mask_loss=True)
        nll = np.asarray(scorer.nll(sequence), np.float64)
        body = sequence.label_kinds == Kind.BODY
        owner = sequence.segment_ids
        for number, place in enumerate(places.tolist()):
            found[place] = nll[body & (owner == number)]
    return found


def read_benchmark(path: Path) -> list[str]:
    """The texts of a file of JSON Lines, in its order; raises UserError for what is none."""
    try:
        lines = [line for line in path.read_text("utf-8").split("\n") if line.strip()]
        records = [parse_json(line) for line in lines]
        texts = [
            next(record[key] for key in TEXTS if isinstance(record.get(key), str))
            for record in records
        ]
    except OSError as error:
        raise UserError(f"benchmark={path}: {error.strerror}; give a file of JSON Lines") from None
    except (ValueError, AttributeError, StopIteration):
        raise UserError(
            f"benchmark={path}: a line has no {', '.join(TEXTS)}: give JSON Lines with one of them"
        ) from None
    if len(texts) < LEAST_ITEMS:
        raise UserError(f"benchmark={path} has {len(texts)} items, too few to have an order")
    return texts


def order_test(
    scorer: Scorer,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    seq_length: int,
    packed_length: int,
    permutations: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """How the items' own order compares with others, over shards that the model takes in at once.

    p: of permutations of all shards together, and the order itself, the fraction that is at least
    as likely: exact, and never below 1 / (permutations + 1). gain: nats a token that the own order
    is more likely than the mean of the others.
    """
    encoded = [np.array(tokenizer.encode(f"{text}\n\n"), np.int32) for text in texts]
    shards = [shard for shard in _shards(encoded, seq_length) if len(shard) > 1]
    if not shards:
        raise UserError("benchmark: no two of its items fit into what the model takes in at once")
    totals = np.zeros(permutations + 1)
    for number, shard in enumerate(shards):
        orders = [np.arange(len(shard)), *(rng.permutation(len(shard)) for _ in totals[1:])]
        items = [_joined(tokenizer, [shard[place] for place in order]) for order in orders]
        losses = body_losses(scorer, items, packed_length, tokenizer.pad_id)
        totals += [loss.sum() for loss in losses]
        progress("order", number + 1, len(shards))
    own, others = totals[0], totals[1:]
    tokens = sum(len(item) for shard in shards for item in shard)
    return {
        "items": sum(map(len, shards)),
        "shards": len(shards),
        "permutations": permutations,
        "p": float((1 + (others <= own).sum()) / (1 + permutations)),
        "gain": float((others.mean() - own) / tokens),
    }


def _shards(items: Sequence[np.ndarray], seq_length: int) -> Iterator[list[np.ndarray]]:
    """Items in a row that fit together; one that does not fit alone is left out."""
    shard: list[np.ndarray] = []
    used = 0
    for item in items:
        if len(item) > seq_length:
            continue
        if used + len(item) > seq_length:
            yield shard
            shard, used = [], 0
        shard.append(item)
        used += len(item)
    yield shard


def _joined(tokenizer: Tokenizer, items: Sequence[np.ndarray]) -> Composed:
    none = NO_TOKENS
    return Composed(tokenizer.bos_id, (none, none, none, none, np.concatenate(items), none, none))
