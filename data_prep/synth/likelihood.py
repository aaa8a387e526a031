"""Exact floors: the nats of a document that no model can remove, by what it is told of the origin.

Given the host, the choices of a document are independent, so -log p(text | host) is a sum. Without
the host, p(text) is the mean of p(text | host) over hosts, each as likely; given the country or the
continent, the mean over its hosts. Titles do not depend on the host.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from data_prep.synth.generate import Document, outcome_offsets
from data_prep.synth.world import World


@dataclass(frozen=True, slots=True)
class Floors:
    """Nats of each document, arrays [n]: title, then body given the title, EOS included.

    body_with: host known, and with it country and continent. body_country, body_continent: only
    that known. body_without: nothing known; no metadata can gain more than body_without - body_with
    on a model that is ideal in both arms. gain_facts, gain_style: that gain if the facts of the
    country, or the wordings of the house, were all that a reader looks at.
    """

    title_with: np.ndarray
    title_without: np.ndarray
    body_with: np.ndarray
    body_country: np.ndarray
    body_continent: np.ndarray
    body_without: np.ndarray
    gain_facts: np.ndarray
    gain_style: np.ndarray


FLOOR_NAMES = tuple(field.name for field in fields(Floors))


class Likelihood:
    """Log probabilities of a (world, signal, style)."""

    def __init__(self, world: World, signal: float, style: float):
        host_country = np.array(world.host_country)
        fact_starts, style_starts, num_outcomes = outcome_offsets(world)
        # One more row of zeros pads documents to the same number of outcomes.
        self.table = np.zeros((num_outcomes + 1, len(world.hosts)))
        for start, kind in zip(fact_starts, world.facts, strict=True):
            own = np.array(kind.own)[host_country]
            self._fill(start, len(kind.values), own, signal)
        for start, choice in zip(style_starts, world.styles, strict=True):
            self._fill(start, len(choice.variants), np.array(choice.own), style)
        self._padding = num_outcomes
        self._country_starts = np.flatnonzero(np.diff(host_country, prepend=-1))
        self._hosts_of_country = np.bincount(host_country)
        self._country = host_country
        continents = np.array(world.continents)
        changed = np.concatenate([[True], continents[1:] != continents[:-1]])
        continent = (np.cumsum(changed) - 1)[host_country]
        self._continent_starts = np.flatnonzero(np.diff(continent, prepend=-1))
        self._hosts_of_continent = np.bincount(continent)
        self._continent = continent

    def _fill(self, start: int, size: int, own: np.ndarray, strength: float) -> None:
        """Rows of one choice: p = strength * [own] + (1 - strength) / size, by host."""
        p = np.full((size, len(own)), (1 - strength) / size)
        p[own, np.arange(len(own))] += strength
        with np.errstate(divide="ignore"):
            self.table[start : start + size] = np.log(p)

    def floors(self, documents: Sequence[Document]) -> Floors:
        """Floors of `documents`, in their order."""
        host = np.array([document.host for document in documents])
        facts = self._by_host([document.fact_outcomes for document in documents])
        style = self._by_host([document.style_outcomes for document in documents])
        both = facts + style
        choice = np.array([document.choice_nats for document in documents])
        title = np.array([document.title_nats for document in documents])
        row = np.arange(len(documents))
        return Floors(
            title_with=title,
            title_without=title,
            body_with=choice - both[row, host],
            body_country=choice
            - _mean_of_groups(both, self._country_starts, self._hosts_of_country)[
                row, self._country[host]
            ],
            body_continent=choice
            - _mean_of_groups(both, self._continent_starts, self._hosts_of_continent)[
                row, self._continent[host]
            ],
            body_without=choice - _log_mean(both),
            gain_facts=facts[row, host] - _log_mean(facts),
            gain_style=style[row, host] - _log_mean(style),
        )

    def _by_host(self, outcomes: list[list[int]]) -> np.ndarray:
        """log p(outcomes | host), [documents, hosts]."""
        longest = max(map(len, outcomes))
        padding = self._padding
        padded = [row + [padding] * (longest - len(row)) for row in outcomes]
        return self.table[np.array(padded, dtype=np.intp).reshape(len(outcomes), longest)].sum(1)


def _log_mean(log_p: np.ndarray) -> np.ndarray:
    """log of the mean of p over the last axis; at least one p is above 0."""
    highest = log_p.max(-1)
    return highest + np.log(np.exp(log_p - highest[:, None]).sum(-1)) - math.log(log_p.shape[-1])


def _mean_of_groups(log_p: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """log of the mean of p in each group of neighbouring columns, [documents, groups]."""
    return np.logaddexp.reduceat(log_p, starts, axis=1) - np.log(sizes)
