"""Edges among the documents of one band, over signatures that a test writes by hand."""

import numpy as np
import pytest

from data_prep.dedup import near
from data_prep.dedup.near import near_edges

MINIMA = 10


def components(edges: np.ndarray) -> list[list[int]]:
    """By the lowest of each: near_edges gives (lowest, other)."""
    found: dict[int, list[int]] = {}
    for low, other in edges.tolist():
        found.setdefault(low, [low]).append(other)
    return [sorted(members) for _, members in sorted(found.items())]


def reader(signatures: np.ndarray):
    def read(numbers: np.ndarray) -> np.ndarray:
        assert (np.diff(numbers) > 0).all()
        return signatures[numbers]

    return read


def signature_groups(groups: list[int]) -> np.ndarray:
    """Documents of one group differ in one minimum at most; those of two groups in all."""
    found = np.repeat(np.array(groups, np.uint16)[:, None] * 1000, MINIMA, axis=1)
    found[:, 0] += np.arange(len(groups), dtype=np.uint16) % 2
    return found


def test_documents_of_one_key_are_joined_where_enough_minima_are_equal():
    signatures = signature_groups([0, 1, 0, 1, 2, 0])
    keys = np.full(6, 9, np.uint64)
    edges = near_edges(keys, np.arange(6), reader(signatures), 9, 0)
    assert components(edges) == [[0, 2, 5], [1, 3]]


def test_documents_of_different_keys_are_not_compared():
    signatures = signature_groups([0, 0, 0, 0])
    edges = near_edges(np.array([1, 2, 1, 3], np.uint64), np.arange(4), reader(signatures), 9, 0)
    assert components(edges) == [[0, 2]]


@pytest.mark.parametrize("equal", [7, 8, 9])
def test_the_least_number_of_equal_minima_is_inclusive(equal):
    signatures = np.zeros((2, MINIMA), np.uint16)
    signatures[1, equal:] = 1
    edges = near_edges(np.zeros(2, np.uint64), np.arange(2), reader(signatures), 8, 0)
    assert len(edges) == (equal >= 8)


def test_documents_of_earlier_runs_are_joined_to_those_of_this_one_alone():
    signatures = signature_groups([0, 0, 1, 1, 0])
    edges = near_edges(np.zeros(5, np.uint64), np.arange(5), reader(signatures), 9, 4)
    assert components(edges) == [[0, 1, 4]]
    assert near_edges(np.zeros(4, np.uint64), np.arange(4), reader(signatures[:4]), 9, 4).size == 0


@pytest.mark.parametrize("all_pairs", [2, 5, 100])
@pytest.mark.parametrize("block", [3, 1000])
def test_many_documents_of_one_key_are_joined_as_few_are(monkeypatch, all_pairs, block):
    monkeypatch.setattr(near, "ALL_PAIRS", all_pairs)
    monkeypatch.setattr(near, "BLOCK", block)
    groups = np.random.default_rng(3).integers(0, 20, 200)
    edges = near_edges(
        np.zeros(200, np.uint64), np.arange(200), reader(signature_groups(list(groups))), 9, 0
    )
    oracle = [np.flatnonzero(groups == g).tolist() for g in range(20)]
    assert components(edges) == sorted(m for m in oracle if len(m) > 1)


def test_beyond_the_pivots_documents_stay_alone(monkeypatch):
    monkeypatch.setattr(near, "ALL_PAIRS", 2)
    monkeypatch.setattr(near, "PIVOTS", 2)
    signatures = signature_groups([0, 1, 2, 0, 1, 2])
    edges = near_edges(np.zeros(6, np.uint64), np.arange(6), reader(signatures), 9, 0)
    assert components(edges) == [[0, 3], [1, 4]]


def test_edges_given_up_on_the_way_do_not_change_the_components(monkeypatch):
    groups = np.random.default_rng(4).integers(0, 30, 120)
    keys = np.array(groups // 3, np.uint64)
    signatures = signature_groups(list(groups))
    whole = near_edges(keys, np.arange(120), reader(signatures), 9, 0)
    monkeypatch.setattr(near, "_EDGES_HELD", 1)
    assert components(near_edges(keys, np.arange(120), reader(signatures), 9, 0)) == components(
        whole
    )
