"""The set of digests against Python's own set, and the memory it takes."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_prep.digests import DigestSet

# Few distinct halves, so that equal first words with unequal second ones are common.
HALF = st.sampled_from([bytes(8), b"\0" * 7 + b"\1", b"\xff" * 8, b"\x80" + b"\0" * 7])
WIDE = st.tuples(HALF, HALF).map(b"".join)


def reference(batches):
    seen: set[bytes] = set()
    for batch in batches:
        expected = []
        for digest in batch:
            expected.append(digest not in seen)
            seen.add(digest)
        yield expected


@given(batches=st.lists(st.lists(WIDE, max_size=12), max_size=8))
def test_wide_set_equals_pythons(batches):
    digests = DigestSet(wide=True)
    assert [digests.add(batch).tolist() for batch in batches] == list(reference(batches))
    assert len(digests) == len({d for batch in batches for d in batch})


@given(batches=st.lists(st.lists(HALF, max_size=12), max_size=8))
def test_narrow_set_equals_pythons(batches):
    digests = DigestSet(wide=False)
    assert [digests.add(batch).tolist() for batch in batches] == list(reference(batches))


def test_many_digests_take_sixteen_bytes_each():
    generator = random.Random(0)
    digests = DigestSet()
    for _ in range(100):
        assert digests.add([generator.randbytes(16) for _ in range(500)]).all()
    assert len(digests) == 50_000
    assert digests.nbytes == 16 * 50_000
    generator = random.Random(0)
    again = [generator.randbytes(16) for _ in range(50_000)]
    assert not digests.add(again).any()
    assert digests.add([]).dtype == np.bool_
