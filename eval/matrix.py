"""From per-document sums to tables: perplexity by condition and group, and paired differences.

Perplexity is exp(sum of nats / number of tokens), a micro-average over tokens. Intervals resample
documents; all columns of a group share each resample, so differences are paired per document.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from eval.bootstrap import MIN_DOCUMENTS, percentile_interval, resampled_sums
from eval.conditions import country_told, generator, guidance, kind_of
from eval.config import Condition
from eval.documents import Documents
from eval.groups import ALL, Group
from eval.perplexity import Scores
from eval.significance import cluster_sums, holm, resampled_p

PARTS = ("text", "title", "body")
BITS = ("bits_per_byte", "bits_low", "bits_high")
Key = tuple[str, Condition]
# Comparisons that are told by places in the text and over countries.
PLACED = (
    "conditioned model, told, against plain model",
    "conditioned model, not told, against plain model",
    "conditioned model against placebo, told",
    "told against not told",
)
# What a condition of one field is compared with, and why.
OF_A_FIELD = {
    "only": ("without", "one field alone against not told"),
    "no": ("with", "all fields but one against told"),
    "other": ("with", "one wrong field against told"),
}


@dataclass(frozen=True, slots=True)
class Effect:
    """A comparison: loss of `of` minus loss of `against`; below 0, `of` predicts better.

    purpose: which question the pair answers, for headings and sentences.
    """

    purpose: str
    of: Key
    against: Key


def effects(
    conditions: Sequence[Condition],
    conditioned: Mapping[str, bool],
    foreign: Sequence[str] = (),
    bare: Sequence[str] = (),
    placebo: Sequence[str] = (),
    no_labels: Sequence[str] = (),
) -> list[Effect]:
    """The comparisons that these conditions and runs allow.

    conditioned: run -> whether any stage of it showed metadata. foreign: runs of which nobody here
    knows what they were trained on; they are compared with the others as they read bare text.
    bare: runs without metadata that were trained on bare text, and are compared as they read that;
    labels are what they have never met. placebo: runs that were trained with other documents'
    metadata, a baseline of their own. no_labels: runs whose text without metadata is the bare text,
    so that bare text is nothing to compare.
    """
    plus = [run for run, yes in conditioned.items() if yes and run not in placebo]
    minus = [run for run, yes in conditioned.items() if not yes and run not in foreign]
    found = []
    for of, against in product(plus, minus):
        own = "plain" if against in bare else "without"
        found += [
            Effect("conditioned model, told, against plain model", (of, "with"), (against, own)),
            Effect(
                "conditioned model, not told, against plain model", (of, "without"), (against, own)
            ),
        ]
        if of not in no_labels or against not in no_labels:
            found.append(
                Effect("conditioned model against plain model, bare text", (of, "plain"),
                       (against, "plain"))
            )  # fmt: skip
    for of, against in product(plus, placebo):
        found += [
            Effect("conditioned model against placebo, told", (of, "with"), (against, "with")),
            Effect("conditioned model against placebo, not told", (of, "without"),
                   (against, "without")),
        ]  # fmt: skip
    for of, against in product(placebo, minus):
        own = "plain" if against in bare else "without"
        found.append(Effect("placebo, told, against plain model", (of, "with"), (against, own)))
    for place, run in enumerate(foreign):
        others = [*plus, *placebo, *minus, *foreign[:place]]
        found += [
            Effect("another model, bare text", (run, "plain"), (other, "plain")) for other in others
        ]
    for run in [*plus, *placebo, *minus, *foreign]:
        found += [
            Effect("told against not told", (run, "with"), (run, "without")),
            Effect("shuffled against not told", (run, "shuffled"), (run, "without")),
            Effect("wrong country against not told", (run, "wrong_country"), (run, "without")),
            Effect("told against shuffled", (run, "with"), (run, "shuffled")),
            Effect("invented host against told", (run, "invented_host"), (run, "with")),
        ]
        if run not in no_labels:
            found.append(Effect("bare text against not told", (run, "plain"), (run, "without")))
        for condition in conditions:
            if country_told(condition):
                found.append(Effect("told one country against not told", (run, condition),
                                    (run, "without")))  # fmt: skip
            if guidance(condition) is not None:
                found.append(Effect("guided against told", (run, condition), (run, "with")))
            against, purpose = OF_A_FIELD.get(kind_of(condition)[0], ("", ""))
            if against and kind_of(condition)[1]:
                found.append(Effect(purpose, (run, condition), (run, against)))
    return [e for e in found if e.of[1] in conditions and e.against[1] in conditions]


def tables(
    documents_of: Mapping[str, Documents],
    scores: Mapping[Key, Scores],
    found_groups: Sequence[Group],
    wanted: Sequence[Effect],
    *,
    samples: int,
    confidence: float,
    seed: int,
    hosts: np.ndarray | None = None,
) -> dict[str, list[dict]]:
    """`cells`: one line a (group, part, run, condition); `effects`: one a (group, part, effect).

    documents_of: of each run, the same documents in tokens of its own. hosts: int [n], of the
    documents; differences over all of them then have an interval that resamples whole hosts.
    Each line has tokens, documents with any, the estimate and its interval; the interval is null
    below `MIN_DOCUMENTS` of these documents, and a line without tokens is left out. A difference is
    in nats by token of `against`, so that runs of different tokenizers are compared on the same
    texts; bits per byte need no tokenizer.
    """
    keys = list(scores)
    cells, differences = [], []
    for group in found_groups:
        rng = generator(seed, f"bootstrap/{group.kind}/{group.name}")
        columns = _Columns(documents_of, scores, keys, group.places)
        totals = columns.values.sum(0)[None]
        # The same resamples serve title, body and both: one matrix of sums.
        resampled = (
            resampled_sums(columns.values, samples, rng)
            if len(group.places) >= MIN_DOCUMENTS
            else None
        )
        by_host = _by_host(columns.values, hosts, samples, seed) if group.kind == ALL else None
        for part in PARTS:
            sums = columns.of(totals, part)
            if sums is None:
                continue
            # A title may be what few documents have.
            there = group.places[columns.have(part)]
            drawn = _drawn(columns, resampled, part, len(there))
            of_hosts = 0 if hosts is None else len(np.unique(hosts[there]))
            hosts_drawn = _drawn(columns, by_host, part, of_hosts)
            head = {
                "group": group.kind, "name": group.name, "part": part, "documents": len(there),
            }  # fmt: skip
            for k, (run, condition) in enumerate(keys):
                nats, low, high = _estimate(sums, drawn, lambda s, k=k: s.rate(k), confidence)
                bits = _estimate(sums, drawn, lambda s, k=k: s.bits(k), confidence)
                cells.append({
                    **head, "tokens": int(sums.tokens[0, k]), "run": run, "condition": condition,
                    "nats": nats,
                    "perplexity": _exp(nats), "low": _exp(low), "high": _exp(high),
                    **dict(zip(BITS, bits, strict=True)),
                })  # fmt: skip
            for effect in wanted:
                pair = keys.index(effect.of), keys.index(effect.against)
                nats, low, high = _estimate(sums, drawn, lambda s, p=pair: s.change(*p), confidence)
                bits = _estimate(
                    sums, drawn, lambda s, p=pair: s.bits(p[0]) - s.bits(p[1]), confidence
                )
                differences.append({
                    **head, "tokens": int(sums.tokens[0, pair[1]]), **asdict(effect),
                    "nats": nats, "low": low, "high": high,
                    "ratio": _exp(nats), "ratio_low": _exp(low), "ratio_high": _exp(high),
                    **dict(zip(BITS, bits, strict=True)),
                    **_over_hosts(sums, hosts_drawn, pair, confidence, drawn),
                })  # fmt: skip
    over_all = [line for line in differences if line["group"] == ALL and line["p"] is not None]
    for line, corrected in zip(over_all, holm([line["p"] for line in over_all]), strict=True):
        line["p_holm"] = corrected
    return {"cells": cells, "effects": differences}


def _drawn(
    columns: "_Columns", resampled: np.ndarray | None, part: str, number: int
) -> "_Sums | None":
    """Resamples of a part; None where fewer than `MIN_DOCUMENTS` of what is drawn have it."""
    return None if resampled is None or number < MIN_DOCUMENTS else columns.of(resampled, part)


def _by_host(
    values: np.ndarray, hosts: np.ndarray | None, samples: int, seed: int
) -> np.ndarray | None:
    """Sums over resamples of hosts, [samples, columns]; None for fewer than `MIN_DOCUMENTS`."""
    if hosts is None or len(np.unique(hosts)) < MIN_DOCUMENTS:
        return None
    return resampled_sums(cluster_sums(values, hosts), samples, generator(seed, "bootstrap/hosts"))


def _over_hosts(
    sums: "_Sums",
    by_host: "_Sums | None",
    pair: tuple[int, int],
    confidence: float,
    drawn: "_Sums | None",
) -> dict[str, float | None]:
    """A difference's interval over hosts, and its p: over hosts where there are enough of them."""
    _, low, high = _estimate(sums, by_host, lambda s: s.change(*pair), confidence)
    source = by_host or drawn
    p = None if source is None else resampled_p(source.change(*pair))
    return {"host_low": low, "host_high": high, "p": p}


@dataclass(frozen=True)
class _Sums:
    """Of one part, over one or more draws of documents: nats and tokens [draws, keys], bytes."""

    nats: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray

    def rate(self, key: int) -> np.ndarray:
        return self.nats[:, key] / self.tokens[:, key]

    def change(self, of: int, against: int) -> np.ndarray:
        """By token of `against`; for one tokenizer the difference of the rates, to the last bit."""
        if (self.tokens[:, of] == self.tokens[:, against]).all():
            return self.rate(of) - self.rate(against)
        return (self.nats[:, of] - self.nats[:, against]) / self.tokens[:, against]

    def bits(self, key: int) -> np.ndarray:
        return self.nats[:, key] / (self.bytes * np.log(2))


class _Columns:
    """[n, ...] of documents: tokens of each part, then the nats of each part and key.

    Behind them the bytes of each part, and tokens by other tokenizers than the first run's.
    """

    def __init__(
        self,
        documents_of: Mapping[str, Documents],
        scores: Mapping[Key, Scores],
        keys: Sequence[Key],
        places: np.ndarray,
    ):
        distinct = list({id(d): d for d in documents_of.values()}.values())
        first, *others = distinct
        columns = _tokens(first)
        for part in PARTS:
            columns += [getattr(scores[key], part) for key in keys]
        columns += [first.title_bytes + first.body_bytes, first.title_bytes, first.body_bytes]
        for documents in others:
            columns += _tokens(documents)
        self.values = np.stack([np.asarray(c, np.float64)[places] for c in columns], axis=1)
        self._keys = len(keys)
        number = [
            next(n for n, d in enumerate(distinct) if d is documents_of[run]) for run, _ in keys
        ]
        behind = len(PARTS) * (2 + len(keys))
        # Where the tokens of each key's part begin.
        self._tokens = np.array([0 if n == 0 else behind + len(PARTS) * (n - 1) for n in number])

    def have(self, part: str) -> np.ndarray:
        """Which documents have a token of the part, bool [n]."""
        return self.values[:, PARTS.index(part)] > 0

    def of(self, sums: np.ndarray, part: str) -> _Sums | None:
        """Of sums [draws, columns]; None where the group has no token of the part.

        A draw without any token of it, possible where few documents have a title, is left out.
        """
        number, keys = PARTS.index(part), self._keys
        tokens = sums[:, self._tokens + number]
        kept = (tokens > 0).all(1)
        if not kept.any():
            return None
        start = len(PARTS) + number * keys
        size = sums[kept, len(PARTS) * (1 + keys) + number]
        return _Sums(sums[kept, start : start + keys], tokens[kept], np.maximum(size, 1))


def _tokens(documents: Documents) -> list[np.ndarray]:
    return [documents.tokens, documents.title_tokens, documents.body_tokens]


def _estimate(
    sums: _Sums, drawn: _Sums | None, of: Callable[[_Sums], np.ndarray], confidence: float
) -> tuple[float, float | None, float | None]:
    """A figure and its interval."""
    return float(of(sums)[0]), *_interval(None if drawn is None else of(drawn), confidence)


def _interval(values: np.ndarray | None, confidence: float) -> tuple[float | None, float | None]:
    if values is None:
        return None, None
    low, high = percentile_interval(values, confidence)
    return float(low), float(high)


def _exp(value: float | None) -> float | None:
    # A loss above 700 nats a token has no finite perplexity; JSON has no infinity.
    return None if value is None or value > 700 else float(np.exp(value))
