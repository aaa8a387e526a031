"""Where a gain sits: by place in the text, by host seen in training or not, by words of the URL."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from eval.bootstrap import MIN_DOCUMENTS, percentile_interval, resampled_sums
from eval.conditions import generator
from eval.documents import Documents
from eval.groups import Group
from eval.matrix import Effect, Key
from eval.perplexity import BANDS, Scores
from geo_nemo.metadata.slug import overlap

SEEN, SLUG = "host in training", "title words in the URL"
FREQUENCY = "training documents of the country"


def changes_by_band(
    documents_of: Mapping[str, Documents],
    scores: Mapping[Key, Scores],
    wanted: Sequence[Effect],
) -> Iterator[tuple[int, Effect, np.ndarray, np.ndarray]]:
    """Number, effect, tokens and change in nats by document and band, [n, bands].

    Effects over runs of two tokenizers, or without places, are passed over.
    """
    for number, effect in enumerate(wanted):
        documents = documents_of[effect.of[0]]
        of, against = scores[effect.of].places, scores[effect.against].places
        if documents is documents_of[effect.against[0]] and of is not None and against is not None:
            yield number, effect, tokens_by_band(documents), of - against


def by_place(
    documents_of: Mapping[str, Documents],
    scores: Mapping[Key, Scores],
    wanted: Sequence[Effect],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Differences by band of places in title and body: a line an effect and band with tokens.

    nats: by document, so that bands add up; per_token: by token of the band; the interval is of
    nats, over documents, null below `MIN_DOCUMENTS` that reach the band. Only runs of one tokenizer
    have the same places.
    """
    lines = []
    for number, effect, tokens, change in changes_by_band(documents_of, scores, wanted):
        rng = generator(seed, f"places/{number}")
        drawn = resampled_sums(change, samples, rng) / len(change)
        for band, stop in enumerate(BANDS):
            reach = tokens[:, band] > 0
            if not reach.any():
                continue
            low = high = None
            if reach.sum() >= MIN_DOCUMENTS:
                low, high = map(float, percentile_interval(drawn[:, band], confidence))
            lines.append({
                "purpose": effect.purpose, "of": effect.of, "against": effect.against,
                "start": 0 if band == 0 else BANDS[band - 1], "stop": stop,
                "documents": int(reach.sum()), "tokens": int(tokens[:, band].sum()),
                "nats": float(change[:, band].sum() / len(change)), "low": low, "high": high,
                "per_token": float(change[:, band].sum() / tokens[:, band].sum()),
            })  # fmt: skip
    return lines


def tokens_by_band(documents: Documents) -> np.ndarray:
    """Scored tokens of each document in each band, int64 [n, bands]."""
    starts = np.array([0, *BANDS[:-1]])
    stops = np.array([*BANDS[:-1], np.iinfo(np.int64).max])
    return np.clip(np.minimum(documents.tokens[:, None], stops) - starts, 0, None)


def by_host(hosts: np.ndarray, trained: np.ndarray, known: np.ndarray) -> list[Group]:
    """Documents whose host stands in training, and those whose does not; none where all are alike.

    hosts: of the documents, trained: of training, both as numbers of one list. known: bool, the
    host has a name; documents without one are in neither group.
    """
    seen = np.isin(hosts, trained)
    found = [("seen", np.flatnonzero(seen & known)), ("not seen", np.flatnonzero(~seen & known))]
    return [Group(SEEN, *of) for of in found] if all(len(of) for _, of in found) else []


def by_frequency(country: np.ndarray, trained: np.ndarray) -> list[Group]:
    """Documents by how many of their country are trained on, by powers of ten; none if alike.

    country: of each document, int [n]. trained: documents of each country in training, int [c].
    """
    number = trained[country]
    decade = np.where(number > 0, np.floor(np.log10(np.maximum(number, 1) + 0.5)), -1)
    found = []
    for value in np.unique(decade).astype(int):
        name = "none" if value < 0 else f"{10**value:,} to {10 ** (value + 1) - 1:,}"
        found.append(Group(FREQUENCY, name, np.flatnonzero(decade == value)))
    return found if len(found) > 1 else []


def by_slug(titles: Sequence[str], paths: Sequence[str]) -> list[Group]:
    """Documents by how many of their title's words the URL's path spells: none, some, most."""
    fraction = np.array([overlap(title, path) for title, path in zip(titles, paths, strict=True)])
    parts = {
        "none": np.flatnonzero(fraction == 0),
        "some": np.flatnonzero((fraction > 0) & (fraction < 0.5)),
        "half or more": np.flatnonzero(fraction >= 0.5),
    }
    there = {name: places for name, places in parts.items() if len(places)}
    return [Group(SLUG, name, places) for name, places in there.items()] if len(there) > 1 else []
