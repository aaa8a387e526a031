"""Checkpoints of a tuning: there is a whole one at every moment, and older ones go."""

import pytest
from transformers import TrainerState

from geo_nemo.common.progress import no_progress
from geo_nemo.runtime.signals import StopRequest
from geo_nemo.tune.train import WHOLE, _Watch, newest_checkpoint


@pytest.mark.parametrize("keep_last", [1, 2])
def test_older_checkpoints_go_once_the_newest_is_whole(tmp_path, keep_last):
    watch = _Watch(tmp_path, keep_last, no_progress, StopRequest())
    for step in (8, 9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()  # as the trainer writes it, unmarked
        whole = sorted(path.parent.name for path in tmp_path.glob(f"*/{WHOLE}"))
        assert whole or step == 8
        state = TrainerState(global_step=step, is_world_process_zero=True)
        watch.on_save(None, state, None)
        assert newest_checkpoint(tmp_path).name == f"checkpoint-{step}"
    kept = {path.name for path in tmp_path.glob("checkpoint-*")}
    assert kept == {f"checkpoint-{step}" for step in range(12 - keep_last, 12)}
    # What a user keeps beside them is left alone.
    for name in ("checkpoint-9.best", "checkpoint-8-copy"):
        (tmp_path / name).mkdir()
        kept |= {name}
    watch.on_save(None, state, None)
    assert newest_checkpoint(tmp_path).name == "checkpoint-11"
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == kept
    watch.on_save(None, TrainerState(global_step=3, is_world_process_zero=False), None)
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == kept
