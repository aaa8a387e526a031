"""What is said of stored ids, said of ids with another beginning and end."""

import numpy as np
import pytest

from geo_nemo.metadata.splice import Spliced


@pytest.mark.parametrize(
    "start, front, back, kept, expected",
    [
        # Two for one in front, one for two behind; a new one is kept where one of the old ones was.
        (1, [7, 8], [9], [1, 0, 1, 0, 0, 1], [1, 1, 0, 1, 0, 1]),
        (1, [7, 8], [9], [0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]),
        # Of one that stands for none nothing is said: it is kept.
        (0, [7], [9], [0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1]),
        (1, [], [], [1, 0, 1, 1, 0, 0], [0, 1, 1]),
    ],
)
def test_what_is_kept_of_old_ids_is_kept_of_those_that_stand_for_them(
    start, front, back, kept, expected
):
    spliced = Spliced(np.array(front, np.int32), start, 4, np.array(back, np.int32))
    carried = spliced.carried(np.array(kept, np.uint8))
    assert carried.dtype == np.uint8 and carried.tolist() == expected
    assert len(carried) == len(spliced)
