"""MinHash LSH of word 5-grams by rensa or datasketch: rensa|datasketch JSONL CLUSTERS.

14 bands of 8 rows, as ours; CLUSTERS receives int64 [documents]. Neither checks a candidate: with
datatrove's parameters a shared band is a duplicate.
"""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks.prep.contender import say, texts

BANDS, ROWS, NGRAM = 14, 8, 5
_WORD = re.compile(r"\w+")


def main() -> None:
    library, path, out = sys.argv[1:]
    candidates = {"rensa": by_rensa, "datasketch": by_datasketch}[library]
    parents: list[int] = []
    # An earlier document of the cluster, found by halving the path to its first one.
    for number, found in enumerate(candidates(texts(Path(path)))):
        parents.append(number)
        for other in found:
            first, second = _root(parents, other), _root(parents, number)
            parents[max(first, second)] = min(first, second)
    clusters = np.array([_root(parents, number) for number in range(len(parents))], np.int64)
    np.save(out, clusters)
    say(documents=len(clusters))


def grams(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return [" ".join(words[i : i + NGRAM]) for i in range(max(len(words) - NGRAM + 1, 1))]


def by_rensa(documents: Iterable[str]) -> Iterable[list[int]]:
    """For each document the earlier ones that share a band with it."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=0.8, num_perm=BANDS * ROWS, num_bands=BANDS)

    def look(number: int, text: str) -> list[int]:
        sketch = RMinHash(num_perm=BANDS * ROWS, seed=42)
        sketch.update(grams(text))
        found = index.query(sketch)
        index.insert(number, sketch)
        return found

    return _each(documents, look)


def by_datasketch(documents: Iterable[str]) -> Iterable[list[int]]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))

    def look(number: int, text: str) -> list[int]:
        sketch = MinHash(num_perm=BANDS * ROWS)
        sketch.update_batch([gram.encode() for gram in grams(text)])
        found = index.query(sketch)
        index.insert(number, sketch)
        return found

    return _each(documents, look)


def _each(documents: Iterable[str], look: Callable[[int, str], list[int]]) -> Iterable[list[int]]:
    return (look(number, text) for number, text in enumerate(documents))


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


if __name__ == "__main__":
    main()
