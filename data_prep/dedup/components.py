"""Connected components over edges, in NumPy: the root of each is its lowest node.

`parent` is the whole state, one number a node; parent[x] <= x, and a root is its own parent.
"""

import numpy as np


def new_parents(nodes: int) -> np.ndarray:
    """Every node for itself; 4 bytes a node, 8 beyond 2^32 of them."""
    return np.arange(nodes, dtype=np.uint32 if nodes < 2**32 else np.int64)


def roots(parent: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Roots of `nodes`, whose paths are shortened on the way."""
    found = parent[nodes]
    while True:
        above = parent[found]
        if np.array_equal(above, found):
            break
        # Halving the paths on the way makes a long chain take log2 of its length in rounds.
        parent[nodes] = above
        parent[found] = parent[above]
        found = parent[above]
    parent[nodes] = found
    return found


def union(parent: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Join the components of left[i] and right[i], for every i."""
    while len(left):
        left, right = roots(parent, left), roots(parent, right)
        apart = left != right
        left, right = left[apart], right[apart]
        if not len(left):
            return
        low, high = np.minimum(left, right), np.maximum(left, right)
        # A root with several lower partners goes below the lowest; the next round joins the rest.
        np.minimum.at(parent, high, low)
        touched = np.unique(high)
        while True:
            above = parent[parent[touched]]
            if np.array_equal(above, parent[touched]):
                break
            parent[touched] = above


def forest(edges: np.ndarray) -> np.ndarray:
    """int64 [e, 2] -> int64 [f, 2]: as few edges with the same components, (lowest, other)."""
    nodes, index = np.unique(edges, return_inverse=True)
    index = index.reshape(-1, 2)
    parent = new_parents(len(nodes))
    union(parent, index[:, 0], index[:, 1])
    root = roots(parent, np.arange(len(nodes)))
    joined = root != np.arange(len(nodes))
    return np.stack([nodes[root[joined]], nodes[joined]], axis=1)
