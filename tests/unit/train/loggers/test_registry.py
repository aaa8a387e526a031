"""Loggers by name: ours, the user's own, and what is said where there is none."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from geo_nemo.config import Logging, Run, UserError, plugins
from geo_nemo.config.load import load_config
from geo_nemo.train.callbacks.loggers import make_loggers, registry
from tests.unit.train.loggers.conftest import end, module_at, needs

OWN = """
class Table:
    def __init__(self, told, separator=","):
        self.path = told.output / "table.csv"
        self.separator = separator

    def on_start(self, step):
        lines = self.path.read_text().splitlines(True) if self.path.exists() else []
        kept = [line for line in lines if int(line.split(self.separator)[0]) <= step]
        self.path.write_text("".join(kept))

    def write(self, step, values):
        with self.path.open("a") as file:
            file.write(f"{step}{self.separator}{values['loss']}\\n")

    def close(self, outcome):
        with self.path.open("a") as file:
            file.write(f"-1{self.separator}{outcome}\\n")

class Refuses:
    def __init__(self, told):
        raise KeyError("no table")

class Exits:
    def __init__(self, told):
        raise SystemExit(0)

class Mute:
    def __init__(self, told): ...
    def on_start(self, step): ...
    def write(self, step, values): ...
"""


CALLS_HOME = """
from pathlib import Path
from geo_nemo.config import Logging
from geo_nemo.train.callbacks.loggers.logger import Told
from geo_nemo.train.callbacks.loggers.{module} import {name}

{name}(Told("a", Path("."), Logging(mlflow_uri="sqlite:///a.db", wandb_project="b"), {{}}))
{asks}
"""
ASKS_MLFLOW = """
try:  # since MLflow 3.2
    from mlflow.telemetry.client import get_telemetry_client
except ImportError:
    get_telemetry_client = lambda: None
print(get_telemetry_client())
"""
ASKS_WANDB = """
import wandb.env

print(wandb.env.error_reporting_enabled() or None)
"""


@pytest.mark.very_slow  # of make test-loggers
@pytest.mark.parametrize(
    ("module", "name", "asks"), [("mlflow", "MLflow", ASKS_MLFLOW), ("wandb", "WandB", ASKS_WANDB)]
)
def test_a_logger_tells_nobody_but_whom_it_was_given(tmp_path, module, name, asks):
    """Its package would tell its makers of each call; within tests and CI MLflow's does not."""
    needs(module)
    code = CALLS_HOME.format(module=module, name=name, asks=asks)
    paths = os.pathsep.join(sys.path)
    known = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": paths}
    told = subprocess.run(
        [sys.executable, "-c", code], env=known, cwd=tmp_path, capture_output=True, text=True
    )
    assert told.stdout == "None\n", told.stderr


def loggers(folder, **settings):
    return make_loggers(Logging(**settings), folder, "a", {})


@pytest.fixture
def own(tmp_path, monkeypatch):
    module_at(tmp_path, monkeypatch, "own_loggers", OWN)
    yield
    sys.modules.pop("own_loggers", None)


def test_a_logger_of_the_user_s_by_module_and_attribute(own, tmp_path):
    name = "own_loggers:Table"
    (logger,) = loggers(tmp_path, loggers=[name], options={name: {"separator": ";"}})
    logger.start(0, must_open=True)
    for step in (1, 2, 3):
        logger.write(step, {"loss": step / 2})
    logger.start(1, must_open=True)
    logger.write(2, {"loss": 9.0})
    end(logger, "stopped")
    assert (tmp_path / "table.csv").read_text() == "1;0.5\n2;9.0\n-1;stopped\n"


def test_a_logger_of_another_package_by_its_entry_point(own, tmp_path, monkeypatch):
    point = EntryPoint("table", "own_loggers:Table", registry.LOGGERS.group)
    points = EntryPoints([point])
    monkeypatch.setattr(plugins, "entry_points", lambda **asked: points.select(**asked))
    (logger,) = loggers(tmp_path, loggers=["table"])
    assert type(logger._logger).__name__ == "Table"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorbord", r"logging.loggers: tensorbord is not a logger; there is mlflow, prometheus, "
         r"tensorboard, wandb, or module:attribute; did you mean tensorboard\?"),
        ("no_such_module:A", "needs the package no_such_module .*: pip install no_such_module"),
        ("own_loggers:Tabel", "own_loggers.*has no attribute 'Tabel'; name the class as module:"),
        ("own_loggers:Refuses", "own_loggers:Refuses: KeyError: 'no table'; mend that"),
        ("own_loggers:Exits", "own_loggers:Exits: SystemExit: 0; mend that or take it out"),
        ("own_loggers:Mute", "own_loggers:Mute has no method close: see docs/extending.md"),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_is_one_line(own, tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        loggers(tmp_path, loggers=[name])


def test_options_that_a_logger_does_not_know_are_one_line(own, tmp_path):
    name = "own_loggers:Table"
    with pytest.raises(UserError, match=r"own_loggers:Table: TypeError: .*colour"):
        loggers(tmp_path, loggers=[name], options={name: {"colour": 1}})


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("wandb", {"wandb_project": "p"}),
        ("mlflow", {"mlflow_uri": "sqlite:////tmp/x.db"}),
        ("tensorboard", {"tensorboard": True}),
        ("prometheus_client", {"prometheus_port": 9464}),
    ],
)
def test_a_missing_package_is_one_line_before_anything_starts(
    tmp_path, monkeypatch, module, settings
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"needs the package {module} .*geo-nemo\[logging\]"):
        loggers(tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_old_settings_and_names_turn_the_same_loggers_on_once():
    logging = Logging(tensorboard=True, wandb_project="p", loggers=["tensorboard", "a:B", "mlflow"])
    assert logging.wanted == ("tensorboard", "wandb", "a:B", "mlflow")
    assert Logging().wanted == Logging(wandb_project="", mlflow_uri="").wanted == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["logging.wandb_entity=me"], "wandb_entity needs wandb_project"),
        (["logging.mlflow_experiment=x"], "mlflow_experiment needs mlflow_uri"),
        (["logging.prometheus_textfile=a.txt"], "must end in .prom"),
        (["logging.prometheus_port=0"], "prometheus_port"),
        (["logging.loggers=[prometheus]"], "give prometheus_port or prometheus_textfile"),
        (["logging.loggers=['no name']"], "logging.loggers.0"),
        (["logging.names=keras"], "logging.names"),
        (["logging.options={wandb:{a:1}}"], "options of wandb, which is not one of loggers"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        load_config("train", Run, ("data.store=s", "output_dir=o", *settings))


@pytest.mark.parametrize(
    ("name", "message"),
    [("wandb", "logging.wandb_project, or set WANDB_PROJECT"), ("mlflow", "MLFLOW_TRACKING_URI")],
)
def test_a_logger_without_its_address_names_the_setting(tmp_path, monkeypatch, name, message):
    monkeypatch.setitem(sys.modules, name, sys)  # it is asked for before the package is used
    with pytest.raises(UserError, match=message):
        loggers(tmp_path, loggers=[name])
