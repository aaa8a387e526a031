"""Dashboards beside metrics.jsonl: what each is told, and that none of them ends a run."""

import sys
import types
import urllib.request

import pytest

from geo_nemo.config import Logging, Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.train.callbacks.sinks import Guarded, make_sinks, scalars

LINE = {
    "step": 4,
    "stage": "condition",
    "loss": 2.5,
    "loss_by_country": {"gb": 2.0, "us": 3.0},
    "trained_tokens": 7,
}


def test_a_line_s_numbers_are_flat_and_its_words_are_left_out():
    assert scalars(LINE) == {
        "loss": 2.5,
        "loss_by_country/gb": 2.0,
        "loss_by_country/us": 3.0,
        "trained_tokens": 7.0,
    }


def test_prometheus_serves_and_writes_the_same_gauges(tmp_path, unused_port):
    pytest.importorskip("prometheus_client")
    file = tmp_path / "geo.prom"
    logging = Logging(prometheus_port=unused_port, prometheus_textfile=str(file))
    (sink,) = make_sinks(logging, tmp_path, "run-a", {})
    sink.write(4, scalars(LINE))
    with urllib.request.urlopen(f"http://127.0.0.1:{unused_port}/metrics") as answer:
        served = answer.read().decode()
    sink.close()
    for text in (served, file.read_text()):
        assert 'geo_nemo_step{run="run-a"} 4.0' in text
        assert 'geo_nemo_loss{run="run-a"} 2.5' in text
        assert 'geo_nemo_loss_by_country{of="us",run="run-a"} 3.0' in text


def test_tensorboard_has_each_number_at_its_step(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (sink,) = make_sinks(Logging(tensorboard=True), tmp_path, "a", {})
    sink.write(4, scalars(LINE))
    sink.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss_by_country/gb")] == [(4, 2.0)]


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def test_wandb_goes_on_under_the_same_id(tmp_path, monkeypatch):
    calls = []
    fake = types.ModuleType("wandb")
    fake.util = types.SimpleNamespace(generate_id=lambda: "id-1")
    fake.init = lambda **settings: (
        calls.append(settings)
        or types.SimpleNamespace(
            log=lambda values, step: calls.append((values, step)), finish=lambda: None
        )
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        (sink,) = make_sinks(Logging(wandb_project="p"), tmp_path, "a", {"seed": 1})
    sink.write(4, {"loss": 2.5})
    first, second, logged = calls
    assert first == second
    assert (first["project"], first["id"], first["resume"]) == ("p", "id-1", "allow")
    assert logged == ({"loss": 2.5}, 4)


def test_mlflow_gets_the_config_flat_and_the_metrics(tmp_path, monkeypatch):
    calls = []
    fake = types.ModuleType("mlflow")
    for name in ("set_tracking_uri", "set_experiment", "start_run", "log_params", "log_metrics"):
        setattr(fake, name, lambda *a, _name=name, **k: calls.append((_name, a, k)))
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    logging = Logging(mlflow_uri="file:runs", mlflow_experiment="geo")
    (sink,) = make_sinks(logging, tmp_path, "a", {"train": {"lr": 1e-3}, "seed": 1})
    sink.write(4, {"loss": 2.5})
    assert calls == [
        ("set_tracking_uri", ("file:runs",), {}),
        ("set_experiment", ("geo",), {}),
        ("start_run", (), {"run_name": "a"}),
        ("log_params", ({"train.lr": "0.001", "seed": "1"},), {}),
        ("log_metrics", ({"loss": 2.5},), {"step": 4}),
    ]


def test_a_missing_package_is_one_line_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"logging.wandb_project needs the package wandb .*pip"):
        make_sinks(Logging(wandb_project="p"), tmp_path, "a", {})


def test_a_port_in_use_is_one_line(tmp_path, unused_port):
    pytest.importorskip("prometheus_client")
    (sink,) = make_sinks(Logging(prometheus_port=unused_port), tmp_path, "a", {})
    with pytest.raises(UserError, match=r"logging.prometheus_\*: OSError: .*in use"):
        make_sinks(Logging(prometheus_port=unused_port), tmp_path, "a", {})
    sink.close()


def test_a_dashboard_that_fails_is_told_once_and_left_out(capsys):
    class Broken:
        def __init__(self):
            self.calls = 0

        def write(self, step, values):
            self.calls += 1
            raise ConnectionError("gone")

        def close(self):
            self.calls += 1

    broken = Broken()
    sink = Guarded("logging.wandb_project", broken)
    sink.write(1, {})
    sink.write(2, {})
    sink.close()
    assert broken.calls == 1
    assert capsys.readouterr().err == (
        "geo-nemo: logging.wandb_project failed (ConnectionError: gone); the run goes on without "
        "it\n"
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("logging.wandb_entity=me", "wandb_entity needs wandb_project"),
        ("logging.mlflow_experiment=x", "mlflow_experiment needs mlflow_uri"),
        ("logging.prometheus_textfile=a.txt", "must end in .prom"),
        ("logging.prometheus_port=0", "prometheus_port"),
    ],
)
def test_incomplete_settings_are_one_line(setting, message):
    with pytest.raises(UserError, match=message):
        load_config("train", Run, ("data.store=s", "output_dir=o", setting))
