"""Checkpoints are whole or absent, and whatever is wrong with one is a line that names it."""

import errno
import json
import os
import resource
import shutil

import pytest
import torch

from geo_nemo.config import UserError
from geo_nemo.train import checkpoint as checkpoints
from geo_nemo.train.checkpoint import Position, newest, whole_checkpoints
from tests.support.runs import finished, trainer, weights
from tests.support.tiny import tiny_run

FILES = (
    ".metadata",
    "__0_0.distcp",
    "__0_1.distcp",
    "common.pt",
    "geo_nemo.json",
    "metadata.json",
)


@pytest.fixture(scope="module")
def trained(tiny_store, tmp_path_factory, single_process):
    """A finished run of six steps with whole checkpoints of steps 3 and 6."""
    return finished(tiny_store, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def copied(trained, tiny_store, tmp_path):
    """A trainer over a copy of that run, with fresh weights."""
    shutil.copytree(trained.directory, tmp_path / "checkpoints")
    return trainer(tiny_run(tiny_store, tmp_path))


@pytest.fixture
def resumed(copied):
    """A trainer over a copy of that run, at step 6."""
    copied.resume()
    return copied


def position(step: int) -> Position:
    return Position(step, {}, {})


def names(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_checkpoint_has_these_files_and_no_other(trained):
    assert names(trained.directory) == ["step_00000003", "step_00000006"]
    assert names(trained.directory / "step_00000006") == sorted(FILES)


def cut_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_last_byte(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut_half, cut_last_byte, empty, delete, zeros, a_folder])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_one_line_that_names_the_checkpoint(copied, file, damage):
    broken = copied.directory / "step_00000006"
    damage(broken / file)
    if file == "geo_nemo.json" and damage is delete:
        copied.resume()  # without its record it is not a whole checkpoint: the one before serves
        assert copied.step == 3
        return

    with pytest.raises(UserError) as failure:
        copied.resume()

    message = str(failure.value)
    assert str(broken) in message
    assert "\n" not in message
    assert len(message) < 500
    assert copied.step == 0


def test_a_partial_checkpoint_is_ignored_and_replaced(copied):
    partial = copied.directory / "step_00000009.partial"
    shutil.copytree(copied.directory / "step_00000003", partial)
    (partial / "stale").write_text("left by a kill")
    old = copied.directory / "step_00000004.partial"
    shutil.copytree(copied.directory / "step_00000003", old)

    assert newest(copied.directory).name == "step_00000006"
    copied.resume()
    assert copied.step == 6

    checkpoints.save(copied.engine, position(9), copied.directory, keep_last=2)
    assert names(copied.directory) == ["step_00000006", "step_00000009"]
    assert names(copied.directory / "step_00000009") == sorted(FILES)


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_checkpoints_stay(resumed, keep):
    for step in (7, 8):
        checkpoints.save(resumed.engine, position(step), resumed.directory, keep_last=keep)
    expected = [f"step_{step:08d}" for step in (3, 6, 7, 8)]
    # The first save drops to `keep`, the second again.
    assert names(resumed.directory) == expected[-min(keep, 4) :]


def test_a_second_save_of_a_step_takes_the_place_of_the_first(resumed):
    with torch.no_grad():
        next(iter(resumed.engine.module.parameters())).fill_(0.25)
        resumed.engine.optimizer.reload_model_params()
    checkpoints.save(resumed.engine, position(6), resumed.directory, keep_last=2)
    assert names(resumed.directory) == ["step_00000003", "step_00000006"]
    again = trainer(resumed.run)
    checkpoints.load(again.engine, newest(resumed.directory))
    assert next(iter(weights(again).values())).eq(0.25).all()


def test_weights_moments_and_clock_come_back_as_they_were(trained, copied):
    copied.resume()
    for name, weight in weights(trained).items():
        assert torch.equal(weights(copied)[name], weight), name
    copied.resume()  # Megatron-Core adds a clock that is loaded to the one that has run
    assert copied.engine.schedule.num_steps == trained.engine.schedule.num_steps == 6
    for here, there in zip(states(copied), states(trained), strict=True):
        assert torch.equal(here, there)
    assert len(states(copied)) > 0


def states(made) -> list[torch.Tensor]:
    inner = [o.optimizer for o in made.engine.optimizer.chained_optimizers]
    return [s[key] for o in inner for s in o.state.values() for key in ("exp_avg", "exp_avg_sq")]


@pytest.fixture
def small_files():
    """No file of this process may grow beyond 100 kB, which the system refuses as it does a full
    disk: by an error of the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_leaves_the_older_checkpoints_and_nothing_else(resumed, small_files):
    with pytest.raises(UserError) as failure:
        checkpoints.save(resumed.engine, position(9), resumed.directory, keep_last=1)
    message = str(failure.value)
    assert message.startswith(
        f"cannot write the checkpoint {resumed.directory / 'step_00000009'}: "
    )
    assert "the system refused to write a file to its end" in message
    assert "\n" not in message
    assert names(resumed.directory) == ["step_00000003", "step_00000006"]
    resumed.resume()
    assert resumed.step == 6


@pytest.mark.parametrize("call", ["mkdir", "write_text"])
def test_a_disk_that_is_full_for_a_small_file_is_a_line_too(resumed, monkeypatch, call):
    def refuse(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(type(resumed.directory), call, refuse)
    with pytest.raises(UserError, match=r"cannot write the checkpoint .*9: No space left"):
        checkpoints.save(resumed.engine, position(9), resumed.directory, keep_last=1)
    assert [path.name for path in whole_checkpoints(resumed.directory)] == [
        "step_00000003",
        "step_00000006",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_line(resumed):
    resumed.directory.chmod(0o500)
    try:
        with pytest.raises(UserError, match="Permission denied"):
            checkpoints.save(resumed.engine, position(9), resumed.directory, keep_last=1)
    finally:
        resumed.directory.chmod(0o700)


def test_a_record_of_another_format_is_refused(copied):
    path = copied.directory / "step_00000006" / "geo_nemo.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UserError, match="step_00000006 has format 99; this version reads 1"):
        copied.resume()


def test_no_checkpoint_is_said_so(tmp_path):
    with pytest.raises(UserError, match=f"no whole checkpoint in {tmp_path}: train first"):
        newest(tmp_path)
