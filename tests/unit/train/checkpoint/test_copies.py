"""Checkpoints in a bucket: whole or absent, behind training, and a run that goes on from them."""

import json
import shutil
import threading

import pytest
import torch

from geo_nemo.config import Checkpoint, Run, RunError, UserError
from geo_nemo.config.load import load_config
from geo_nemo.storage import folder as folder_module
from geo_nemo.store.remote import push_store
from geo_nemo.train.checkpoint import bucket as checkpoint_bucket
from geo_nemo.train.checkpoint.bucket import Bucket
from geo_nemo.train.checkpoint.copies import Copies
from geo_nemo.train.checkpoint.files import content_problem, shape_problem
from tests.support.buckets import SECRET
from tests.support.processes import Process
from tests.support.runs import trainer, weights
from tests.support.tiny import tiny_run

ADDRESS = "s3://news/runs/tiny"
STEP_3, STEP_6 = "step_00000003", "step_00000006"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(folder_module, "WAITS_S", (0.0,))


@pytest.fixture
def make(tiny_store, single_process, bucket):
    """A trainer of the tiny run in a folder, with its copies in the bucket."""

    def made(output, every_steps=3, seed=7, **settings):
        settings = {"every_steps": every_steps, "remote": ADDRESS, **settings}
        return trainer(tiny_run(tiny_store, output, checkpoint=settings, seed=seed))

    return made


def steps(bucket) -> dict[str, set[str]]:
    """Names of the files of each checkpoint in the bucket."""
    found: dict[str, set[str]] = {}
    for key in bucket.names("runs/tiny/step_"):
        name, _, file = key.removeprefix("runs/tiny/").partition("/")
        found.setdefault(name, set()).add(file)
    return found


def on_disk(output) -> list[str]:
    return sorted(path.name for path in (output / "checkpoints").glob("step_*"))


def test_each_checkpoint_is_copied_as_it_is_and_the_last_stay(make, bucket, tmp_path):
    made = make(tmp_path, every_steps=2, keep_last=3)
    assert made.fit()
    assert on_disk(tmp_path) == ["step_00000002", "step_00000004", "step_00000006"]
    there = steps(bucket)
    assert len(there) <= 2 and STEP_6 in there  # those between may be left out
    for name, files in there.items():
        folder = tmp_path / "checkpoints" / name
        assert files == {path.name for path in folder.iterdir()}
        for file in files:
            assert bucket.get(f"runs/tiny/{name}/{file}") == (folder / file).read_bytes()
    claim = json.loads(bucket.get("runs/tiny/run.json"))
    assert claim == {"name": "tiny", "fingerprint": made.prepared.fingerprint}


def test_on_an_empty_disk_the_newest_copy_is_fetched(make, bucket, tmp_path):
    first = make(tmp_path / "a")
    first.fit()
    second = make(tmp_path / "b")
    second.resume()
    assert second.step == 6
    assert on_disk(tmp_path / "b") == [STEP_6]
    fetched = tmp_path / "b" / "checkpoints" / STEP_6
    assert shape_problem(fetched) == content_problem(fetched) == ""
    for name, weight in weights(second).items():
        assert torch.equal(weight, weights(first)[name]), name


def test_a_newer_or_equal_checkpoint_on_disk_is_used(make, bucket, tmp_path, monkeypatch):
    make(tmp_path).fit()
    bucket.delete(*bucket.names(f"runs/tiny/{STEP_6}/"))
    monkeypatch.setattr(checkpoint_bucket, "download", None)
    again = make(tmp_path)
    again.resume()
    assert again.step == 6
    again.copies.finish(is_last=True)  # and the bucket has it again
    assert STEP_6 in steps(bucket)


def test_a_copy_is_used_where_that_on_disk_is_damaged(make, bucket, tmp_path, capsys):
    make(tmp_path).fit()
    path = tmp_path / "checkpoints" / STEP_6 / "common.pt"
    path.write_bytes(path.read_bytes()[:-1])
    again = make(tmp_path)
    again.resume()
    assert again.step == 6
    assert shape_problem(path.parent) == ""
    assert on_disk(tmp_path) == [STEP_3, STEP_6]
    refused, told = capsys.readouterr().err.splitlines()
    assert "is not whole: common.pt has" in refused
    assert told == f"geo-nemo: the newest checkpoint is {ADDRESS}/{STEP_6}: it is fetched"


@pytest.mark.parametrize("damage", ["content", "record", "missing"])
def test_a_damaged_copy_is_named_and_the_one_before_is_used(make, bucket, tmp_path, capsys, damage):
    make(tmp_path / "a").fit()
    key = f"runs/tiny/{STEP_6}/{'geo_nemo.json' if damage == 'record' else '__0_0.distcp'}"
    bucket.delete(key) if damage == "missing" else bucket.damage(key)
    second = make(tmp_path / "b")
    if damage == "missing":
        with pytest.raises(UserError, match=f"cannot read {ADDRESS}/{STEP_6}/__0_0.distcp: no s"):
            second.resume()
        return
    second.resume()
    assert second.step == 3
    line = capsys.readouterr().err.splitlines()[1]
    assert line.startswith(f"geo-nemo: warning: the copy {ADDRESS}/{STEP_6} is not whole: ")
    assert on_disk(tmp_path / "b") == [STEP_3]


def test_a_fetch_that_was_killed_goes_on_with_what_is_missing(make, bucket, tmp_path, monkeypatch):
    make(tmp_path / "a").fit()
    whole = tmp_path / "a" / "checkpoints" / STEP_6
    left = tmp_path / "b" / "checkpoints" / f"{STEP_6}.fetched.partial"
    left.mkdir(parents=True)
    shutil.copy(whole / "__0_0.distcp", left)
    (left / "common.pt.partial").write_bytes(b"half")
    reading, asked = folder_module.RemoteFolder.reading, []

    def noted(self, name):
        asked.append(name)
        return reading(self, name)

    monkeypatch.setattr(folder_module.RemoteFolder, "reading", noted)
    second = make(tmp_path / "b")
    second.resume()
    assert second.step == 6
    fetched = {path.name: path.read_bytes() for path in left.with_name(STEP_6).iterdir()}
    assert fetched == {path.name: path.read_bytes() for path in whole.iterdir()}
    assert sorted(asked) == sorted(fetched.keys() - {"__0_0.distcp", "geo_nemo.json"})
    assert on_disk(tmp_path / "b") == [STEP_6]


def test_what_has_no_record_is_no_checkpoint(make, bucket, tmp_path):
    make(tmp_path / "a").fit()
    bucket.delete(f"runs/tiny/{STEP_6}/geo_nemo.json")
    second = make(tmp_path / "b")
    second.resume()
    assert second.step == 3


def test_a_copy_over_an_older_one_of_its_name_leaves_nothing_of_it(make, bucket, tmp_path):
    made = make(tmp_path)
    for file in ("__7_0.distcp", "__0_0.distcp", "geo_nemo.json"):
        bucket.put(f"runs/tiny/{STEP_3}/{file}", b"of another layout")
    bucket.put("runs/tiny/step_00000001/__0_0.distcp", b"left by a kill")
    bucket.put("runs/tiny/notes/step_00000001", b"mine")
    assert checkpoint_bucket.Bucket(ADDRESS).whole() == [STEP_3]
    made.step = 3
    made.save()
    made.checkpoints.finish()
    made.copies.finish()
    folder = tmp_path / "checkpoints" / STEP_3
    assert steps(bucket) == {STEP_3: {path.name for path in folder.iterdir()}}
    assert bucket.get("runs/tiny/notes/step_00000001") == b"mine"


def refuse(monkeypatch, what, times):
    """Make the client refuse a call to what is called `what`, so many times."""
    real, left = folder_module.connect, [times]

    class Refusing:
        def __init__(self, system):
            self.system = system

        def __getattr__(self, name):
            return getattr(self.system, name)

        def open_output_stream(self, path, *arguments):
            if what in path and left[0]:
                left[0] -= 1
                raise OSError("AWS Error ACCESS_DENIED during x: secret")
            return self.system.open_output_stream(path, *arguments)

    monkeypatch.setattr(folder_module, "connect", lambda bucket: Refusing(real(bucket)))


@pytest.mark.parametrize("file", ["common.pt", "geo_nemo.json"])
def test_a_copy_that_fails_is_a_warning_and_training_goes_on(
    make, bucket, tmp_path, monkeypatch, capsys, file
):
    refuse(monkeypatch, f"{STEP_3}/{file}", times=1)
    made = make(tmp_path)
    assert made.fit()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"geo-nemo: warning: {tmp_path}/checkpoints/{STEP_3} is not copied to {ADDRESS}: cannot "
        f"write {ADDRESS}/{STEP_3}/{file}: access denied: check the AWS credentials; the one on "
        "disk stands"
    )
    assert on_disk(tmp_path) == [STEP_3, STEP_6]
    assert list(steps(bucket)) == [STEP_6]


def test_that_of_the_last_checkpoint_is_an_error_once_all_is_done(
    make, bucket, tmp_path, monkeypatch, capsys
):
    refuse(monkeypatch, f"{STEP_6}/common.pt", times=1)
    ended = []
    made = make(tmp_path)
    made.callbacks = [Ended(ended)]
    with pytest.raises(RunError, match=f"finished, but .*{STEP_6} is not copied .* access denied"):
        made.fit()
    assert ended == ["end"]
    assert on_disk(tmp_path) == [STEP_3, STEP_6]
    assert (tmp_path / "ledger.json").exists()
    assert make(tmp_path).fit()  # the same command copies it
    assert set(steps(bucket)) == {STEP_3, STEP_6}


class Ended:
    def __init__(self, seen):
        self.seen = seen

    def on_start(self, step): ...

    def on_step(self, event): ...

    def on_end(self):
        self.seen.append("end")


def test_the_end_waits_no_longer_than_it_may(make, bucket, tmp_path, monkeypatch, capsys):
    begun = []

    def endless(self, checkpoint, part, progress, stop):
        begun.append(checkpoint.name)
        stop.wait()

    monkeypatch.setattr(Bucket, "copy_files", endless)
    made = make(tmp_path, remote_wait_minutes=0)
    with pytest.raises(RunError, match=f"{STEP_6} is not copied .*: not done in checkpoint.remote"):
        made.fit()
    assert begun == [STEP_3]
    assert on_disk(tmp_path) == [STEP_3, STEP_6]
    assert not made.copies.is_copying


def test_what_is_being_copied_stays_on_disk(make, bucket, tmp_path, monkeypatch):
    copy, seen = Bucket.copy_files, []

    def slow(self, checkpoint, part, progress, stop):
        if checkpoint.name == "step_00000001":
            while not (tmp_path / "checkpoints" / "step_00000005").exists() and not stop.is_set():
                stop.wait(0.01)
        seen.append((checkpoint.name, checkpoint.exists()))
        copy(self, checkpoint, part, progress, stop)

    monkeypatch.setattr(Bucket, "copy_files", slow)
    assert make(tmp_path, every_steps=1, keep_last=1, remote_keep_last=9).fit()
    assert seen[0] == ("step_00000001", True)
    assert all(there for _, there in seen)
    assert "step_00000002" not in dict(seen)  # training was faster: those between are left out
    assert seen[-1][0] == STEP_6
    assert set(steps(bucket)) == set(dict(seen))


def test_another_run_s_bucket_is_refused_and_what_differs_is_named(make, bucket, tmp_path):
    make(tmp_path / "a").fit()
    before = {key: bucket.get(key) for key in bucket.names()}
    with pytest.raises(UserError, match=f"{ADDRESS} holds .* another seed: .* checkpoint.remote"):
        make(tmp_path / "b", seed=8).fit()
    assert {key: bucket.get(key) for key in bucket.names()} == before
    bucket.put("runs/tiny/run.json", b"[]")
    with pytest.raises(UserError, match=f"{ADDRESS}/run.json is no record of a run"):
        make(tmp_path / "b").fit()


def test_a_bucket_that_cannot_be_used_is_an_error_before_training(make, bucket, tmp_path):
    with pytest.raises(UserError, match="cannot read s3://nobodys-bucket/run: no such bucket"):
        make(tmp_path, remote="s3://nobodys-bucket/run").fit()
    assert not (tmp_path / "checkpoints").exists()


def test_a_bucket_that_cannot_be_written_is_too(make, bucket, tmp_path, monkeypatch):
    refuse(monkeypatch, "run.json", times=1)
    with pytest.raises(UserError, match=r"cannot write .*/run.json: access denied: check") as error:
        make(tmp_path).fit()
    assert "secret" not in str(error.value)
    assert not (tmp_path / "checkpoints").exists()


def test_a_stop_waits_for_the_copy_of_what_it_saved(make, bucket, tmp_path):
    made = make(tmp_path, every_steps=100)

    class AfterStepOne:  # which is heard after the next
        def __bool__(self):
            return made.step >= 1

    made.stop = AfterStepOne()
    assert not made.fit()
    assert list(steps(bucket)) == ["step_00000002"]
    elsewhere = make(tmp_path / "elsewhere", every_steps=100)
    elsewhere.resume()
    assert elsewhere.step == 2


def test_what_is_being_copied_is_asked_where_copies_go_on(make, tmp_path, monkeypatch):
    """In the thread that commits it could change while it is read, and a copy's files go."""
    asked = []

    def in_use(copies):
        asked.append(threading.current_thread())
        return real(copies)

    real = Copies.in_use
    monkeypatch.setattr(Copies, "in_use", in_use)
    assert make(tmp_path, async_save=True).fit()
    assert asked == [threading.main_thread()] * 2


@pytest.mark.parametrize("name", ["../../x", "a/b", "geo_nemo.json", ".."])
def test_a_record_may_name_no_file_elsewhere(name):
    with pytest.raises(ValueError, match="lists"):
        checkpoint_bucket.checked_files({"files": {name: [1, "ab"]}})


def test_files_are_shared_out_so_that_each_goes_once():
    record = {"files": {f"f{i}": [size, "ab"] for i, size in enumerate((5, 9, 1, 9, 3))}}
    files = checkpoint_bucket.checked_files(record)
    shares = [[i.name for i in checkpoint_bucket._part_of(files, (n, 2))] for n in range(2)]
    assert shares == [["f1", "f0", "f2"], ["f3", "f4"]]


def test_without_a_bucket_copies_do_nothing(single_process, tmp_path):
    copies = Copies(Checkpoint(), torch.device("cpu"))
    copies.begin(tmp_path)
    assert (copies.is_copying, copies.in_use(), copies.flags()) == (False, (), (0.0, 0.0))
    copies.finish(is_last=True)
    copies.abandon()


SETTINGS = (
    "experiment=demo",
    "model.num_layers=2",
    "model.hidden_size=64",
    "model.ffn_hidden_size=96",
    "data.seq_length=128",
    "train.steps=6",
    "train.warmup_steps=2",
    "train.global_batch_size=8",
    "train.micro_batch_size=4",
    "checkpoint.every_steps=3",
    "logging.every_steps=1",
    "deterministic=true",
    "data.store=s3://news/store",
    f"checkpoint.remote={ADDRESS}",
)


def test_on_a_new_machine_the_same_command_ends_bit_for_bit_the_same(
    tiny_store, bucket, tmp_path, single_process
):
    push_store(tiny_store, "s3://news/store")

    def settings(machine: str) -> list[str]:
        folder = tmp_path / machine
        return [*SETTINGS, f"output_dir={folder}/run", f"data.cache_dir={folder}/cache"]

    def resumed(machine: str):
        made = trainer(load_config("train", Run, settings(machine)))
        made.resume()
        return made

    undisturbed = resumed("first")
    assert undisturbed.fit()
    bucket.delete(*bucket.names(f"runs/tiny/{STEP_6}/"))  # as if the machine was lost at step 5
    second = Process("geo_nemo", "train", *settings("second"))
    _, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors[-3000:]
    assert f"{ADDRESS}/{STEP_3}: it is fetched" in errors
    assert SECRET not in errors
    lines = (tmp_path / "second" / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 4, 5]
    expected = weights(undisturbed)
    for name, weight in weights(resumed("second")).items():
        assert torch.equal(weight, expected[name]), name
    assert set(steps(bucket)) == {STEP_3, STEP_6}
