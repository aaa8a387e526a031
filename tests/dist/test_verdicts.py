"""A verdict of one rank's callback is every rank's: they wind back and end alike."""

import json

import pytest

from geo_nemo.runtime.lost import LostRankError, lost_ranks_in_a_line
from tests.dist.launch import launch, torchrun
from tests.support.command import SMALL


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


def test_a_callback_that_fails_on_one_rank_alone_is_the_line_that_is_said(tiny_store, tmp_path):
    """The other rank has lost it, and leaves it the word; what was saved is whole."""
    with pytest.raises(AssertionError) as caught:
        torchrun(
            2, "geo_nemo", "train", *SMALL, f"data.store={tiny_store}", f"output_dir={tmp_path}/r",
            "train.steps=4", "train.warmup_steps=1", "train.micro_batch_size=4", "device=cpu",
            "checkpoint.every_steps=2", "checkpoint.async_save=false",
            "callbacks.use=[tests.dist.verdict_worker:Fails]",
        )  # fmt: skip
    said = [line for line in str(caught.value).splitlines() if line.startswith("geo-nemo: ")]
    assert said[0].startswith(
        "geo-nemo: the callback tests.dist.verdict_worker:Fails, at step 2, fails (KeyError: 'sec"
    )
    ending = json.loads((tmp_path / "r" / "end.json").read_text())
    assert ending["why"].startswith("another process of the run has ended, and its last line says")
    assert (tmp_path / "r" / "checkpoints" / "latest").read_text() == "step_00000002\n"


def test_other_errors_than_that_of_a_lost_rank_pass():
    with pytest.raises(LostRankError), lost_ranks_in_a_line():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]:9")
    with pytest.raises(RuntimeError, match="out of memory"), lost_ranks_in_a_line():
        raise RuntimeError("out of memory")
