"""A verdict of one rank's callback is every rank's: they wind back and end alike."""

import json

from tests.dist.launch import launch


def test_a_verdict_of_one_rank_is_every_rank_s(tiny_store, tmp_path):
    launch(2, "tests.dist.verdict_worker", tiny_store, tmp_path)
    found = [json.loads((tmp_path / f"found_{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]
    # Left out before it was taken: step 1. Rewound after step 3, which is left out with step 4;
    # stopped after step 5.
    assert found[0] == {
        "finished": False, "reason": "enough", "step": 6, "left_out": [1, 3, 4],
        "steps": [0, 2, 3, 5],
    }  # fmt: skip
