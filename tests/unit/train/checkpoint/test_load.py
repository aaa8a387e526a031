"""Checkpoints are whole or absent, and whatever is wrong with one is a line that names it."""

import errno
import json
import os
import resource
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from geo_nemo.config import Checkpoint, UserError
from geo_nemo.train.checkpoint import commit as checkpoint_commit
from geo_nemo.train.checkpoint.load import Position, newest
from geo_nemo.train.checkpoint.manager import Checkpoints
from geo_nemo.train.checkpoint.write import WriteJob
from geo_nemo.train.ledger import Ledger
from tests.support.runs import finished, trainer, weights
from tests.support.tiny import tiny_run

FILES = (
    ".metadata",
    "__0_0.distcp",
    "__0_1.distcp",
    "common.pt",
    "geo_nemo.json",
    "metadata.json",
    "random_00000.json",
)
BOTH = pytest.mark.parametrize("async_save", [False, True], ids=["blocking", "async"])


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


def test_groups_of_a_cpu_s_old_checkpoint_have_what_fused_adam_asks_for(
    tiny_store, tmp_path, single_process
):
    """GroupStepAdam did not have it at first; a GPU's step does not go without."""
    run = tiny_run(tiny_store, tmp_path)
    made = trainer(run)
    for group in made.engine.optimizer.param_groups:
        del group["bias_correction"]
    made.step = 3
    made.save()
    made.checkpoints.finish()
    again = trainer(run)
    again.resume()
    assert again.step == 3
    assert all(group["bias_correction"] for group in again.engine.optimizer.param_groups)


def position(step: int, score: float | None = None) -> Position:
    return Position(step, {}, {}, score=score)


def manager(made, **settings) -> Checkpoints:
    """A manager of its own over the trainer's engine and folder."""
    return Checkpoints(made.engine, made.directory, Checkpoint(**settings))


def save(made, *positions: Position, **settings) -> None:
    """Save them one after the other, each to its end."""
    checkpoints = manager(made, **settings)
    for each in positions:
        checkpoints.save(each)
    checkpoints.finish()


def names(directory) -> list[str]:
    """What lies in a folder of checkpoints, but the name of the latest."""
    return sorted(path.name for path in directory.iterdir() if path.name != "latest")


def latest(directory) -> str:
    return (directory / "latest").read_text()


def test_a_checkpoint_has_these_files_and_no_other(trained):
    assert names(trained.directory) == ["step_00000003", "step_00000006"]
    assert names(trained.directory / "step_00000006") == sorted(FILES)
    assert latest(trained.directory) == "step_00000006\n"


def test_its_record_tells_what_it_is_of(trained):
    record = json.loads((trained.directory / "step_00000006" / "geo_nemo.json").read_text())
    assert record["config"] == trained.run.model_dump(mode="json")
    assert record["fingerprint"]["tokenizer"] == trained.prepared.tokenizer.sha256
    policies = [stage.policy.hash() for stage in trained.prepared.stages]
    assert [record["fingerprint"][f"stages.{n}.metadata"] for n in trained.run.stages] == policies
    assert record["stage_samples"] == {"condition": 24, "cooldown": 24}
    assert record["ledger"] == Ledger(trained.prepared).at(6)
    assert record["ledger"]["stages"]["condition"]["trained"]["documents"] > 0


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


def one_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = [cut_half, cut_last_byte, empty, delete, zeros, a_folder, one_byte]


def one_of_each(file, damage):
    """In CI each damage of one file, and one of each file; `make test-slow` has them all."""
    return file == "common.pt" or damage is one_byte


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        pytest.param(file, damage, marks=() if one_of_each(file, damage) else pytest.mark.very_slow)
        for file in FILES
        for damage in DAMAGES
    ],
)
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(copied, capsys, file, damage):
    damage(copied.directory / "step_00000006" / file)
    copied.resume()
    assert copied.step == 3
    assert latest(copied.directory) == "step_00000003\n"
    (line,) = capsys.readouterr().err.splitlines()
    broken = copied.directory / "step_00000006"
    assert line.startswith(f"geo-nemo: warning: the checkpoint {broken} is not whole: {file} ")
    assert line.endswith("; step_00000003 is used")


def test_a_file_that_no_save_wrote_is_named_too(copied, capsys):
    (copied.directory / "step_00000006" / "__1_0.distcp").write_bytes(b"foreign")
    copied.resume()
    assert copied.step == 3
    assert "__1_0.distcp does not belong to it" in capsys.readouterr().err


def test_where_none_is_whole_the_error_names_each(copied):
    cut_half(copied.directory / "step_00000006" / "common.pt")
    delete(copied.directory / "step_00000003" / ".metadata")
    with pytest.raises(UserError) as failure:
        copied.resume()
    message = str(failure.value)
    assert f"no checkpoint in {copied.directory} is whole: step_00000006 (common.pt has" in message
    assert "step_00000003 (.metadata is missing); restore one, or move the folder" in message
    assert "\n" not in message
    assert copied.step == 0


def test_a_run_that_went_on_from_the_one_before_replaces_what_was_damaged(copied):
    """Also when as many stay as there would be with the damaged one."""
    one_byte(copied.directory / "step_00000006" / "__0_0.distcp")
    copied.resume()
    save(copied, position(4), position(5), keep_last=1)
    assert names(copied.directory) == ["step_00000005", "step_00000006"]
    assert latest(copied.directory) == "step_00000005\n"
    save(copied, position(6), keep_last=1)
    assert newest(copied.directory).name == "step_00000006"
    assert names(copied.directory) == ["step_00000006"]


def test_a_damaged_checkpoint_does_not_count_as_one_that_stays(copied):
    """Saved again over the whole ones: without this the whole step 3 would go for the damaged 6."""
    one_byte(copied.directory / "step_00000006" / "__0_0.distcp")
    copied.resume()
    copied.checkpoints.settings = Checkpoint(keep_last=2)
    copied.checkpoints.save(position(9))
    copied.checkpoints.finish()
    assert names(copied.directory) == ["step_00000003", "step_00000009"]


def test_a_partial_checkpoint_is_ignored_and_replaced(copied):
    partial = copied.directory / "step_00000009.partial"
    shutil.copytree(copied.directory / "step_00000003", partial)
    (partial / "stale").write_text("left by a kill")
    old = copied.directory / "step_00000004.partial"
    shutil.copytree(copied.directory / "step_00000003", old)

    assert newest(copied.directory).name == "step_00000006"
    copied.resume()
    assert copied.step == 6

    save(copied, position(9), keep_last=2)
    assert names(copied.directory) == ["step_00000006", "step_00000009"]
    assert names(copied.directory / "step_00000009") == sorted(FILES)


def test_what_a_user_keeps_beside_the_checkpoints_is_left_alone(copied):
    """A copy of a good one, and what was moved away because it does not load."""
    for name in ("step_00000003.good", "step_00000006_bad"):
        shutil.copytree(copied.directory / name[:13], copied.directory / name)
    (copied.directory / "step_00000006").rename(copied.directory / "elsewhere")
    copied.resume()
    assert copied.step == 3
    save(copied, position(9), position(10), keep_last=2)
    kept = ["step_00000003.good", "step_00000006_bad", "step_00000009", "step_00000010"]
    assert names(copied.directory) == ["elsewhere", *kept]


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_checkpoints_stay(resumed, keep):
    save(resumed, position(7), position(8), keep_last=keep)
    expected = [f"step_{step:08d}" for step in (3, 6, 7, 8)]
    # The first save drops to `keep`, the second again.
    assert names(resumed.directory) == expected[-min(keep, 4) :]


def test_the_best_stay_besides_the_newest(resumed):
    """Steps 3 and 6 have no score; 8 and 10 are the best of the others."""
    scores = {7: 3.0, 8: 2.0, 9: 2.5, 10: 2.25, 11: None, 12: 2.75}
    save(resumed, *(position(n, score) for n, score in scores.items()), keep_last=1, keep_best=2)
    assert names(resumed.directory) == ["step_00000008", "step_00000010", "step_00000012"]
    assert latest(resumed.directory) == "step_00000012\n"


@BOTH
def test_a_second_save_of_a_step_takes_the_place_of_the_first(resumed, async_save):
    with torch.no_grad():
        next(iter(resumed.engine.module.parameters())).fill_(0.25)
        resumed.engine.optimizer.reload_model_params()
    save(resumed, position(6), async_save=async_save)
    assert names(resumed.directory) == ["step_00000003", "step_00000006"]
    again = trainer(resumed.run)
    again.checkpoints.load(newest(resumed.directory))
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


@BOTH
def test_a_disk_that_is_full_leaves_the_older_checkpoints_and_nothing_else(
    resumed, small_files, async_save
):
    with pytest.raises(UserError) as failure:
        save(resumed, position(9), keep_last=1, async_save=async_save)
    message = str(failure.value)
    assert message.startswith(
        f"cannot write the checkpoint {resumed.directory / 'step_00000009'}: "
    )
    assert "File too large, with " in message
    assert "\n" not in message
    assert names(resumed.directory) == ["step_00000003", "step_00000006"]
    resumed.resume()
    assert resumed.step == 6


@BOTH
@pytest.mark.parametrize("call", ["mkdir", "write_record", "fsync"])
def test_a_disk_that_is_full_for_a_small_file_is_a_line_too(resumed, monkeypatch, call, async_save):
    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")

    place = {"mkdir": Path, "write_record": checkpoint_commit, "fsync": os}[call]
    with monkeypatch.context() as patched:
        patched.setattr(place, call, refuse)
        with pytest.raises(UserError, match=r"cannot write the checkpoint .*9: No space left"):
            save(resumed, position(9), keep_last=1, async_save=async_save)
    assert names(resumed.directory) == ["step_00000003", "step_00000006"]
    assert latest(resumed.directory) == "step_00000006\n"


@pytest.mark.parametrize("call", ["rmtree", "replace"])
def test_an_old_checkpoint_that_stays_ends_no_run(resumed, monkeypatch, capsys, call):
    """As on NFS, where somebody on this machine reads it."""
    place, real = {"rmtree": (shutil, shutil.rmtree), "replace": (os, os.replace)}[call]

    def refuse(path, *more, **named):
        if Path(path).name.startswith("step_00000003"):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        return real(path, *more, **named)

    with monkeypatch.context() as patched:
        patched.setattr(place, call, refuse)
        save(resumed, position(9), keep_last=1)
    assert latest(resumed.directory) == "step_00000009\n"
    assert newest(resumed.directory).name == "step_00000009"
    assert "step_00000003" in capsys.readouterr().err
    save(resumed, position(10), keep_last=1)
    assert names(resumed.directory) == ["step_00000010"]


def test_a_system_without_threads_makes_no_checkpoint_of_a_part(tmp_path, monkeypatch):
    real, begun = threading.Thread.start, []

    def start(thread):
        if thread._target.__name__ == "_guarded":
            if begun:
                raise RuntimeError("can't start new thread")
            begun.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    writer = SimpleNamespace(buckets=[])
    job = WriteJob(tmp_path, writer, {"one": b"1", "two": b"2"})
    job.join()
    assert job.done and "can't start new thread" in str(job.error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_line(resumed):
    resumed.directory.chmod(0o500)
    try:
        with pytest.raises(UserError, match="Permission denied"):
            save(resumed, position(9), keep_last=1)
    finally:
        resumed.directory.chmod(0o700)


def test_a_record_of_another_format_is_refused(copied):
    path = copied.directory / "step_00000006" / "geo_nemo.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UserError, match="step_00000006 has format 99; this version reads 2"):
        copied.resume()


def test_no_checkpoint_is_said_so(tmp_path):
    with pytest.raises(UserError, match=f"no whole checkpoint in {tmp_path}: train first"):
        newest(tmp_path)
