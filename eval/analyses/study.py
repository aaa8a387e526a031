"""The runs of one or more evaluations of the same documents, and differences between them."""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.bootstrap import MIN_DOCUMENTS, percentile_interval, resampled_sums
from eval.conditions import generator
from eval.mixed import crossed
from eval.pooled import t_interval
from eval.report.inputs import AGAIN, read_evaluation
from eval.report.sentences import ratio_of
from eval.runner import ARRAYS
from eval.trained import Trained, read_trained
from geo_nemo.common.seal import check_sealed_file
from geo_nemo.config import UserError

PARTS = ("title", "body")


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What `geo-nemo eval` left in a folder.

    record: `eval.json`. arrays: `documents.npz`, a value or a row a document.
    """

    folder: Path
    record: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @cached_property
    def continents(self) -> np.ndarray:
        """Continent of each document, [n] of str; empty where its country is not known."""
        documents = self.record["documents"]
        of = [documents["continents"].get(country, "") for country in documents["countries"]]
        return np.array(of)[self.arrays["country"]]


@dataclass(frozen=True, eq=False)
class Member:
    """A run of a study, and the evaluation that scored it."""

    name: str
    trained: Trained
    evaluated: Evaluated

    @property
    def condition(self) -> str:
        """What it is asked under: what it was trained with."""
        return "without" if self.trained.plain else "with"

    def nats(self, condition: str, part: str) -> np.ndarray:
        """Loss of each document's part, float64 [n]. UserError where it was not scored so."""
        keys = self.evaluated.arrays["keys"].tolist()
        try:
            return self.evaluated.arrays[part][keys.index(f"{self.name}/{condition}")]
        except ValueError:
            raise UserError(
                f"{self.evaluated.folder}: run {self.name} was not scored under condition "
                f"{condition}, which it is compared by: run the same geo-nemo eval with "
                f"{condition} among its conditions="
            ) from None

    def tokens(self, part: str) -> np.ndarray:
        """Tokens of each document's part, int [n]."""
        return self.evaluated.arrays[f"{part}_tokens"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; None where there are too few documents.

    seeds: training seeds. With several the interval is Student's over them, else it resamples
    documents. mixed: with several, the interval of a mixed model of seeds and documents.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    documents: int
    mixed_low: float | None = None
    mixed_high: float | None = None

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval is clear of 0, else 0."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return 0
        return -1 if self.high < 0 else 1


class Study:
    """Members, found by what they were trained on; all scored the same documents.

    Raises UserError where evaluations are of different documents, or say too little of their runs.
    """

    def __init__(self, folders: Sequence[Path], part: str = "body"):
        if not folders:
            raise UserError("no evaluation: give folders that geo-nemo eval has written")
        twice = [folder for folder in folders if folders.count(folder) > 1]
        if twice:
            raise UserError(f"{twice[0]} is given twice: give one evaluation a seed")
        self.part = part
        self.members: list[Member] = []
        first: Evaluated | None = None
        for folder in folders:
            evaluated = read(folder)
            first = first or evaluated
            _check_same(first, evaluated)
            for name, about in evaluated.record["runs"].items():
                if about.get("trained"):
                    self.members.append(Member(name, read_trained(about["trained"]), evaluated))
        if not self.members:
            raise UserError("no training run among what was evaluated: give runs.NAME=RUN to eval")
        assert first is not None
        self.first = first
        self._scored = first.arrays[f"{part}_tokens"] > 0
        if not self._scored.any():
            raise UserError(f"no document of {first.folder} has a {part}: leave out --part")
        self.continents = sorted({*first.continents[self._scored].tolist()} - {""})
        config = first.record["config"]
        self.samples, self.confidence = config["bootstrap_samples"], config["confidence"]
        self.seed = config["seed"]

    def everywhere(self, told: bool) -> list[Member]:
        """Members of all continents, at the end of their training."""
        return self._finished(told, lambda trained: trained.is_global)

    def alone(self, continent: str, told: bool) -> list[Member]:
        """Members of one continent, at the end of their training."""
        return self._finished(told, lambda trained: trained.continents == (continent,))

    def without(self, continent: str, told: bool) -> list[Member]:
        """Members of all continents but one, at the end of their training."""
        return self._finished(told, lambda trained: trained.left_out == (continent,))

    def placebos(self) -> list[Member]:
        """Members of all continents that were told other documents' metadata, at their end."""
        return [
            member
            for member in self.members
            if member.trained.finished and member.trained.is_global and member.trained.placebo
        ]

    def _finished(self, told: bool, keep: Callable[[Trained], bool]) -> list[Member]:
        return [
            member
            for member in self.members
            if member.trained.finished
            and not member.trained.placebo
            and member.trained.told == told
            and keep(member.trained)
        ]

    def places(self, continent: str | None = None) -> np.ndarray:
        """Numbers of the documents of a continent, or of all, that have the part."""
        if continent is None:
            return np.flatnonzero(self._scored)
        return np.flatnonzero(self._scored & (self.first.continents == continent))

    def change(
        self,
        pairs: Sequence[tuple[Member, str, Member, str]],
        continent: str | None = None,
    ) -> Estimate:
        """Nats a token of the first less those of the second: below 0, the first predicts better.

        pairs: (of, its condition, against, its condition), one a training seed; paired over
        documents within each.
        """
        places = self.places(continent)

        def rate(sums: np.ndarray) -> np.ndarray:
            return (sums[:, 0] - sums[:, 1]) / sums[:, 2]

        found, by_document = [], []
        for of, condition, against, other in pairs:
            tokens = of.tokens(self.part)
            columns = np.stack(
                [of.nats(condition, self.part), against.nats(other, self.part), tokens], 1
            )[places]
            if len(pairs) == 1:
                return self._over_documents(columns, rate)
            found.append(float(rate(columns.sum(0)[None])[0]))
            by_document.append((columns[:, 0] - columns[:, 1]) / columns[:, 2].mean())
        mean, half = t_interval(found, self.confidence)
        ends = ()
        if len(places) >= MIN_DOCUMENTS:
            mixed = crossed(np.array(by_document), self.confidence)
            ends = (mixed.low, mixed.high)
        return Estimate(mean, mean - half, mean + half, len(found), len(places), *ends)

    def resampled(self, columns: np.ndarray) -> np.ndarray:
        """Column sums over resamples of documents, [samples, k]; the same ones at every call."""
        rng = generator(self.seed, f"analysis/{len(columns)}")
        return resampled_sums(columns.astype(np.float64), self.samples, rng)

    def _over_documents(
        self, columns: np.ndarray, rate: Callable[[np.ndarray], np.ndarray]
    ) -> Estimate:
        value = float(rate(columns.sum(0)[None].astype(np.float64))[0])
        if len(columns) < MIN_DOCUMENTS:
            return Estimate(value, None, None, 1, len(columns))
        low, high = percentile_interval(rate(self.resampled(columns)), self.confidence)
        return Estimate(value, float(low), float(high), 1, len(columns))


def pairs(
    of: Sequence[Member], against: Sequence[Member], conditions: tuple[str, str] | None = None
) -> list[tuple[Member, str, Member, str]]:
    """Each of `of` with the one of `against` that has its seed, size, length, and fields if any.

    conditions: of both; None: what each was trained with. Raises UserError where two fit, on either
    side: one seed would count as two.
    """
    found = []
    for member in of:
        alike = [other for other in against if _alike(member, other)]
        twins = [other for other in of if _alike(member, other)] if alike else []
        for fit in (alike, twins):
            if len(fit) > 1:
                raise UserError(
                    f"runs {fit[0].name} and {fit[1].name} are alike (seed, size, documents, "
                    "metadata): evaluate one of them"
                )
        if alike:
            first, second = conditions or (member.condition, alike[0].condition)
            found.append((member, first, alike[0], second))
    return found


def _alike(one: Member, other: Member) -> bool:
    a, b = one.trained, other.trained
    if a.fields and b.fields and a.fields != b.fields:
        return False
    return (a.seed, a.parameters, a.final_tokens) == (b.seed, b.parameters, b.final_tokens)


def read(folder: Path) -> Evaluated:
    """An evaluation; UserError where it is not whole, or of a version that says too little."""
    record = read_evaluation(folder)
    if "countries" not in record["documents"]:
        raise UserError(f"{folder} was evaluated by an older geo-nemo: {AGAIN}")
    try:
        raw = (folder / ARRAYS).read_bytes()
        check_sealed_file(folder / ARRAYS, raw, record, AGAIN)
        with np.load(io.BytesIO(raw), allow_pickle=False) as content:
            return Evaluated(folder, record, {name: content[name] for name in content.files})
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read {folder / ARRAYS}: {reason}; evaluate again") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{folder / ARRAYS} is damaged ({error}): evaluate again") from None


def _check_same(first: Evaluated, other: Evaluated) -> None:
    ours, theirs = (
        (each.record["documents"]["tokenizer_sha256"], *(each.arrays[k].tobytes() for k in _SAME))
        for each in (first, other)
    )
    if ours != theirs:
        raise UserError(
            f"{other.folder} and {first.folder} scored other documents, or by another tokenizer: "
            "evaluate them on the same store, split, num_documents, max_tokens and seed"
        )


_SAME = ("content_hash", "country", "title_tokens", "body_tokens")


def ratio(nats: float | None) -> float | None:
    """A difference of losses as a ratio of perplexities."""
    return None if nats is None else ratio_of(nats)
