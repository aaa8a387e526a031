"""Components over edges equal those of a walk through the graph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.dedup.components import forest, new_parents, roots, union

graphs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=80)
    )
)


def lowest_reachable(nodes: int, edges) -> list[int]:
    beside = {i: {i} for i in range(nodes)}
    for a, b in edges:
        beside[a].add(b)
        beside[b].add(a)
    lowest = []
    for i in range(nodes):
        seen, stack = set(), [i]
        while stack:
            j = stack.pop()
            if j not in seen:
                seen.add(j)
                stack += beside[j]
        lowest.append(min(seen))
    return lowest


def joined(nodes: int, edges, chunk: int) -> list[int]:
    parent = new_parents(nodes)
    for i in range(0, len(edges), chunk):
        part = np.array(edges[i : i + chunk], np.int64)
        union(parent, part[:, 0], part[:, 1])
    return roots(parent, np.arange(nodes)).tolist()


@given(graphs, st.integers(1, 80))
@settings(max_examples=200, deadline=None)
def test_roots_are_the_lowest_reachable_nodes_however_edges_are_cut(graph, chunk):
    nodes, edges = graph
    assert joined(nodes, edges, chunk) == lowest_reachable(nodes, edges)


@given(graphs)
@settings(max_examples=100, deadline=None)
def test_a_forest_has_the_components_of_its_edges_and_fewer_edges_than_nodes(graph):
    nodes, edges = graph
    found = forest(np.array(edges, np.int64).reshape(-1, 2))
    assert lowest_reachable(nodes, found.tolist()) == lowest_reachable(nodes, edges)
    assert len(found) < nodes


def test_a_chain_of_100000_nodes_in_any_order_of_its_edges_has_one_root():
    chain = np.stack([np.arange(99_999), np.arange(1, 100_000)], axis=1)
    for order in (slice(None), slice(None, None, -1), np.random.default_rng(0).permutation(99_999)):
        assert set(joined(100_000, chain[order].tolist(), 1000)) == {0}
