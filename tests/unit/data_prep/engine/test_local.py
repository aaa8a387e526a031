"""Tasks in this process and in workers beside it: what is done stays done."""

import gc
import os
import shutil

import pytest
from tokenizers import Tokenizer, models

from data_prep.config import Execution
from data_prep.engine import LocalWorkers, StageFailed, local, run_stage
from data_prep.engine.watch import TaskReport, reported, reporter
from geo_nemo.common.errors import RunError, UserError
from tests.unit.data_prep.engine.plans import Planned, planned, results, runs

DONE = {"a": "a is done", "b": "b is done", "c": "c is done"}
THREE = dict.fromkeys("abc", "finish")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_gives_its_receipt_in_the_order_of_the_tasks(tmp_path, workers):
    stage = planned(tmp_path, {"b": "finish", "ccc": "finish", "a": "finish"}, workers=workers)
    receipts = run_stage(stage)
    assert [receipt.counts for receipt in receipts] == [{"letters": n} for n in (1, 3, 1)]
    assert [receipt.counts for receipt in stage.receipts()] == [{"letters": n} for n in (1, 3, 1)]
    assert runs(tmp_path) == ["a", "b", "ccc"]
    assert not list(stage.folder.glob("*.progress"))


def test_tasks_leave_the_interpreter_s_own_threshold_as_it_was(tmp_path):
    before = gc.get_threshold()
    with pytest.raises(UserError):
        run_stage(planned(tmp_path, {"a": "finish", "b": "mistake"}, workers=1))
    assert gc.get_threshold() == before


@pytest.fixture
def no_client(monkeypatch):
    """As where this process has none of s3://, which other tests may have left in it."""
    monkeypatch.setattr(local, "is_connected", lambda: False)


@pytest.mark.usefixtures("no_client")
def test_workers_have_what_this_process_has_loaded(tmp_path, monkeypatch):
    # Workers that begin anew would run the method as it stands in the file.
    monkeypatch.setattr(Planned, "run", lambda *given: {"loaded": os.getpid()})
    receipts = run_stage(planned(tmp_path, {"a": "finish", "b": "finish"}, workers=2))
    assert os.getpid() not in {receipt.counts["loaded"] for receipt in receipts}


def test_workers_begin_anew_where_this_process_has_a_client_of_s3(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "is_connected", lambda: True)
    monkeypatch.setattr(Planned, "run", lambda *given: {"loaded": True})
    receipts = run_stage(planned(tmp_path, {"a": "finish", "b": "finish"}, workers=2))
    assert [receipt.counts for receipt in receipts] == [{"letters": 1}] * 2


@pytest.mark.usefixtures("no_client")
def test_a_worker_can_tokenise_where_this_process_did_so_on_threads(tmp_path, monkeypatch):
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tokenizer.encode_batch(["a"] * 1000)

    def run(stage, task, folder, progress):
        return {"texts": len(tokenizer.encode_batch(["a"] * 1000))}

    monkeypatch.setattr(Planned, "run", run)
    receipts = run_stage(planned(tmp_path, {"a": "finish", "b": "finish"}, workers=2))
    assert [receipt.counts for receipt in receipts] == [{"texts": 1000}] * 2


def test_a_second_run_does_nothing(tmp_path):
    run_stage(planned(tmp_path, THREE, workers=1))
    assert runs(tmp_path) == ["a", "b", "c"]
    run_stage(planned(tmp_path, THREE, workers=1))
    assert runs(tmp_path) == []


def test_a_task_that_is_missing_damaged_or_new_is_done_and_no_other(tmp_path):
    stage = planned(tmp_path, THREE, workers=1)
    run_stage(stage)
    runs(tmp_path)
    shutil.rmtree(stage.task_folder("a"))
    (stage.task_folder("b") / "out.txt").write_text("b")
    stage = planned(tmp_path, {**THREE, "d": "finish"}, workers=1)
    run_stage(stage)
    assert runs(tmp_path) == ["a", "b", "d"]
    assert results(stage) == {**DONE, "d": "d is done"}


def test_another_key_does_every_task_again(tmp_path):
    run_stage(planned(tmp_path, THREE, workers=1))
    runs(tmp_path)
    run_stage(planned(tmp_path, THREE, version="2", workers=1))
    assert runs(tmp_path) == ["a", "b", "c"]


def test_folders_that_are_no_task_s_any_more_are_removed(tmp_path):
    stage = planned(tmp_path, THREE, workers=1)
    run_stage(stage)
    (stage.folder / "a.partial").mkdir()
    stage = planned(tmp_path, {"b": "finish"}, workers=1)
    run_stage(stage)
    assert sorted(path.name for path in stage.folder.iterdir()) == ["b"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_in_a_task_is_raised_and_what_was_finished_is_kept(tmp_path, workers):
    run_stage(planned(tmp_path, {"a": "finish"}, workers=1))
    stage = planned(tmp_path, {"a": "finish", "b": "mistake", "c": "mistake"}, workers=workers)
    with pytest.raises(UserError, match=r"^line 3 of news.jsonl is no JSON: mend it$"):
        run_stage(stage)
    assert results(stage) == {"a": "a is done"}
    assert [stage.receipt(task) is not None for task in stage.tasks()] == [True, False, False]


def test_a_killed_worker_is_one_line_and_a_rerun_does_what_is_missing(tmp_path):
    stage = planned(tmp_path, {"a": "finish", "b": "finish"}, workers=2)
    run_stage(stage)
    runs(tmp_path)
    stage = planned(tmp_path, {**THREE, "c": "be killed", "d": "be killed"}, workers=2)
    with pytest.raises(RunError, match="planned: a worker process was killed"):
        run_stage(stage)
    assert results(stage) == {"a": "a is done", "b": "b is done"}
    runs(tmp_path)
    stage = planned(tmp_path, {**THREE, "d": "finish"}, workers=2)
    run_stage(stage)
    assert runs(tmp_path) == ["c", "d"]
    assert results(stage) == {**DONE, "d": "d is done"}
    assert not (stage.task_folder("c") / "half").exists()


def test_workers_and_one_process_write_the_same_files(tmp_path):
    one, two = (planned(tmp_path / str(n), THREE, workers=n) for n in (1, 2))
    run_stage(one)
    run_stage(two)
    assert results(one) == results(two) == DONE


def test_a_task_that_ends_without_a_receipt_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Planned, "do", lambda *_: None)
    with pytest.raises(StageFailed, match=r"planned: 2 of 2 tasks did not finish \(a, b\)"):
        run_stage(planned(tmp_path, {"a": "finish", "b": "finish"}, workers=1))


def test_receipts_of_an_unfinished_stage_are_an_error_of_the_code(tmp_path):
    with pytest.raises(RuntimeError, match="stage planned is not finished"):
        planned(tmp_path, THREE).receipts()


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_goes_up_to_the_size_of_what_was_to_do(tmp_path, workers):
    seen = []
    stage = planned(tmp_path, THREE, workers=workers)
    run_stage(stage, lambda name, done, total, note: seen.append((name, done, total, note)))
    assert {(name, total) for name, _, total, _ in seen} == {("planned", 300)}
    done = [entry[1] for entry in seen]
    assert done[-1] == 300
    if workers == 1:
        assert done == [50, 100, 150, 200, 250, 300]
        assert seen[-1][3] == "15 documents"


def test_a_report_is_read_back_while_the_task_runs_and_gone_after(tmp_path):
    with reporter(tmp_path, "t") as report:
        report(70, 7)
        assert reported(tmp_path, "t") == TaskReport(70, 7)
        report(80, 8)
        assert (report.done, report.documents) == (80, 8)
    assert reported(tmp_path, "t") == TaskReport(0, 0)
    assert os.listdir(tmp_path) == []


def test_a_report_that_cannot_be_read_counts_as_nothing(tmp_path):
    (tmp_path / "t.progress").write_text("7")
    assert reported(tmp_path, "t") == TaskReport(0, 0)


def test_workers_are_begun_once_for_several_stages_and_not_for_what_is_small(tmp_path, monkeypatch):
    with LocalWorkers(Execution(workers=2)) as workers:
        run_stage(planned(tmp_path / "a", {"1": "finish", "2": "finish"}), workers=workers)
        first = set(workers._pool._processes)
        run_stage(planned(tmp_path / "b", {"1": "finish", "2": "finish"}), workers=workers)
        assert set(workers._pool._processes) == first
    assert workers._pool is None
    monkeypatch.setattr(local, "SMALL_BYTES", 1000)
    with LocalWorkers(Execution(workers=2)) as workers:
        run_stage(planned(tmp_path / "c", {"1": "finish", "2": "finish"}), workers=workers)
        assert workers._pool is None
