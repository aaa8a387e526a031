"""MLflow's own package: databases, folders, and its own tracking server."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from geo_nemo.common.secrets import masked
from geo_nemo.config import UserError
from tests.support.command import SMALL
from tests.support.mlflow_server import PASSWORD, USER, MlflowServer
from tests.unit.train.loggers.conftest import end, needs

pytestmark = pytest.mark.very_slow  # of make test-loggers


@pytest.fixture(autouse=True)
def _package():
    needs("mlflow")
    needs("sqlalchemy")


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}"


@pytest.fixture
def server(tmp_path, unused_port):
    needs("flask")
    made = MlflowServer(tmp_path, unused_port)
    yield made
    made.kill()


def client(uri):
    import mlflow

    return mlflow.MlflowClient(uri)


def runs(uri, experiment="0"):
    return client(uri).search_runs([experiment])


def points(uri, run_id, key):
    history = client(uri).get_metric_history(run_id, key)
    return sorted((point.step, point.value) for point in history)


def test_a_run_over_restarts_and_rewinds_is_one_run_with_each_step_once(
    tmp_path, open_logger, database
):
    first = open_logger(mlflow_uri=database)
    for step in (1, 2, 3, 4):
        first.write(step, {"loss": float(step), "loss_by_country/gb": 2.0})
    end(first, "stopped")
    (run,) = runs(database)
    assert (run.info.run_name, run.info.status) == ("run-a", "SCHEDULED")
    second = open_logger(2, must_open=False, mlflow_uri=database)
    for step in (3, 4, 5, 6):
        second.write(step, {"loss": float(step)})
    second.start(4, must_open=True)  # wound back
    for step in (5, 6, 7):
        second.write(step, {"loss": float(step)})
    end(second)
    (run,) = runs(database)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train.lr": "0.001"}
    assert points(database, run.info.run_id, "loss") == [(n, float(n)) for n in range(1, 8)]
    assert points(database, run.info.run_id, "loss_by_country/gb") == [
        (n, 2.0) for n in range(1, 5)
    ]
    assert (tmp_path / "mlflow_run_id.txt").read_text() == run.info.run_id


def test_a_step_that_a_kill_came_right_after_is_not_told_twice(open_logger, database):
    first = open_logger(mlflow_uri=database)
    first.write(1, {"loss": 1.0})
    end(first)
    (run,) = runs(database)
    # As the process is killed: the batch of step 2 is in the database, and nothing came after it.
    asked = []
    mlflow = first._logger
    real = mlflow._client.log_batch
    mlflow._client.log_batch = lambda *a, **k: (asked.append(k), real(*a, **k))
    mlflow.write(2, {"loss": 2.0})
    assert [set(batch) for batch in asked] == [{"metrics"}]
    second = open_logger(1, must_open=False, mlflow_uri=database)
    for step in (2, 3):
        second.write(step, {"loss": float(step)})
    end(second)
    assert points(database, run.info.run_id, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_run_of_a_version_that_kept_its_last_step_in_a_tag_goes_on(open_logger, database):
    first = open_logger(mlflow_uri=database)
    end(first)
    (run,) = runs(database)
    client(database).log_metric(run.info.run_id, "loss", 1.0, step=1)
    client(database).set_tag(run.info.run_id, "geo_nemo.steps_done", "1")
    second = open_logger(1, must_open=False, mlflow_uri=database)
    for step in (1, 2):
        second.write(step, {"loss": float(step)})
    end(second)
    assert points(database, run.info.run_id, "loss") == [(1, 1.0), (2, 2.0)]


def test_what_it_missed_of_earlier_sessions_is_told_when_it_opens(tmp_path, open_logger, database):
    lines = [{"step": step, "loss": step + 1.0} for step in range(5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    logger = open_logger(3, mlflow_uri=database)  # turned on at step 3
    logger.write(4, {"loss": 4.0})
    end(logger)
    (run,) = runs(database)
    assert points(database, run.info.run_id, "loss") == [(n, float(n)) for n in range(1, 5)]


def test_names_that_it_refuses_and_many_of_them_arrive_whole(open_logger, database):
    logger = open_logger(mlflow_uri=database)
    many = {f"loss_by_country/{n}": float(n) for n in range(2000)}
    logger.write(1, {"tokens/étape (1)?": 1.0, "/a//..": 2.0, **many})
    end(logger)
    (run,) = runs(database)
    metrics = run.data.metrics
    assert len(metrics) == 2003  # one tells the last step
    assert (metrics["tokens/_tape _1__"], metrics["_/a/_/__"]) == (1.0, 2.0)


def test_an_experiment_is_made_once_and_by_name(tmp_path, open_logger, database):
    for name in ("geo", "geo", "other"):
        (tmp_path / "mlflow_run_id.txt").unlink(missing_ok=True)  # another run
        end(open_logger(mlflow_uri=database, mlflow_experiment=name))
    named = {each.name for each in client(database).search_experiments()}
    assert named == {"Default", "geo", "other"}


def test_a_run_that_was_deleted_there_is_begun_anew_and_that_is_said(
    tmp_path, open_logger, database, capsys
):
    end(open_logger(mlflow_uri=database))
    (run,) = runs(database)
    client(database).delete_run(run.info.run_id)
    end(open_logger(mlflow_uri=database))
    (again,) = runs(database)
    assert again.info.run_id != run.info.run_id
    assert f"the run {run.info.run_id} was deleted there; a new one is begun" in (
        capsys.readouterr().err
    )


def test_a_deleted_experiment_is_one_line(tmp_path, open_logger, database):
    end(open_logger(mlflow_uri=database, mlflow_experiment="geo"))
    found = client(database).get_experiment_by_name("geo")
    client(database).delete_experiment(found.experiment_id)
    (tmp_path / "mlflow_run_id.txt").unlink()  # another run of the experiment
    with pytest.raises(UserError, match="mlflow_experiment=geo was deleted there: restore it"):
        open_logger(mlflow_uri=database, mlflow_experiment="geo")


def test_a_folder_is_taken_or_refused_in_one_line(tmp_path, open_logger, monkeypatch):
    """MLflow 3.14 and later refuse folders, unless they are told not to."""
    folder = tmp_path / "runs"
    for uri in (str(folder), f"file:{folder}", f"file://{folder}"):
        try:
            end(open_logger(mlflow_uri=uri))
        except UserError as error:
            assert "is a folder, which MLflow" in str(error)
            assert "sqlite:////FOLDER/mlflow.db" in str(error)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = open_logger(mlflow_uri=str(folder))
    logger.write(1, {"loss_by_country/gb": 2.0})
    end(logger)
    assert points(str(folder), runs(str(folder))[0].info.run_id, "loss_by_country/gb") == [(1, 2.0)]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://me:secret@host/x", r"=ftp://me:\*\*\*@host/x is no address that MLflow .* knows"),
        ("sqlite:///", "names no file: sqlite:////FOLDER/mlflow.db"),
        ("http://me:***@host", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("http://me:secret@127.0.0.1:9", r"mlflow_uri: http://127.0.0.1:9 does not answer; mend"),
        ("postgresql://me:secret@127.0.0.1:9/x", r"needs the package psycopg2?.*pip install psyco"),
        ("sqlite:////proc/none/x.db", "cannot write /proc/none"),
    ],
)
def test_an_address_that_does_not_do_is_one_line_without_its_password(open_logger, uri, message):
    with pytest.raises(UserError, match=message) as refused:
        open_logger(mlflow_uri=uri)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_password_in_the_address_opens_a_server_and_stands_nowhere(
    tmp_path, open_logger, unused_port, capfd
):
    needs("flask")
    server = MlflowServer(tmp_path, unused_port, locked=True)
    server.start()
    try:
        with pytest.raises(UserError, match=r"refuses this user: give MLFLOW_TRACKING_USERNAME"):
            open_logger(mlflow_uri=server.address)
        address = server.address.replace("//", f"//{USER}:{PASSWORD}@")
        logger = open_logger(mlflow_uri=address)
        logger.write(1, {"loss": 2.5})
        end(logger)
    finally:
        server.kill()
    assert [run.data.metrics["loss"] for run in runs(server.database)] == [2.5]
    assert PASSWORD not in "".join(capfd.readouterr())
    written = [
        p for p in tmp_path.rglob("*") if p.is_file() and PASSWORD.encode() in p.read_bytes()
    ]
    assert written == []


def command(store, output, *settings):
    return [
        sys.executable, "-m", "geo_nemo", "train", *SMALL, "train.warmup_steps=1",
        "logging.every_steps=1", "checkpoint.every_steps=4", f"data.store={store}",
        f"output_dir={output}", *settings,
    ]  # fmt: skip


def metrics(folder):
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_a_server_that_is_down_in_the_middle_is_said_once_and_gets_everything_later(
    tiny_store, tmp_path, server
):
    server.start()
    output = tmp_path / "run"
    settings = (f"logging.mlflow_uri={server.address}", "train.steps=16")
    process = subprocess.Popen(
        command(tiny_store, output, *settings), stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        deadline = time.monotonic() + 200
        while len(metrics(output)) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        server.kill()
        _, errors = process.communicate(timeout=200)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == 0, errors
    lines = [json.loads(line) for line in metrics(output)]
    assert [line["step"] for line in lines] == list(range(16))
    # What stands outside of steps and saves, loggers and validation, took no time.
    assert max(line["timing"]["other"] for line in lines[1:]) < 1.0
    said = [line for line in errors.splitlines() if "mlflow" in line.lower()]
    opened, down, left = said
    assert re.match(r"geo-nemo: MLflow: run \w+ at http://127.0.0.1", opened)
    assert down == (
        f"geo-nemo: warning: logging.mlflow_uri failed ({server.address} does not answer); the run "
        "goes on, and what it lacks is sent later"
    )
    assert re.fullmatch(
        r"geo-nemo: warning: logging.mlflow_uri: [\d,]+ logged steps? (?:is|are) missing there; "
        r"the same command sends what it lacks",
        left,
    )
    server.start()
    again = subprocess.run(
        command(tiny_store, output, *settings), capture_output=True, text=True, env=os.environ
    )
    assert again.returncode == 0, again.stderr
    (run,) = runs(server.database)
    assert [step for step, _ in points(server.database, run.info.run_id, "loss")] == list(
        range(1, 17)
    )
    assert run.info.status == "FINISHED"


def test_the_password_of_an_address_stands_in_no_file_of_a_run(tiny_store, tmp_path, unused_port):
    """Config, command and checkpoints are written down; what is sent there is the config, too."""
    needs("flask")
    server = MlflowServer(tmp_path, unused_port, locked=True)
    server.start()
    address = server.address.replace("//", f"//{USER}:{PASSWORD}@")
    settings = (f"logging.mlflow_uri={address}", "train.steps=4")
    try:
        done = subprocess.run(
            command(tiny_store, tmp_path / "run", *settings),
            capture_output=True,
            text=True,
            env=os.environ,
        )
    finally:
        server.kill()
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["logging"]["mlflow_uri"] == masked(address)
    assert f"logging.mlflow_uri={masked(address)}" in record["command"]
    (run,) = runs(server.database)
    assert run.data.params["logging.mlflow_uri"] == masked(address)
