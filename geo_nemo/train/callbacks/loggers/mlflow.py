"""MLflow: one run over all restarts, on a tracking server or in a database."""

import getpass
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from geo_nemo.common.files import make_folder, write_whole
from geo_nemo.common.log import logger
from geo_nemo.common.secrets import MASK, masked
from geo_nemo.config import UserError
from geo_nemo.train.callbacks.loggers.logger import Outcome, Told
from geo_nemo.train.callbacks.loggers.reasons import may_pass, missing
from geo_nemo.train.callbacks.loggers.values import flattened, plain

LOG = logger(__name__)

SETTING = "logging.mlflow_uri"
KEPT = "mlflow_run_id.txt"
# A metric whose newest value is the last step that the run was told of. It is written with those
# of the step, in one transaction, so that a kill leaves all or none. At first it was a tag, which
# MLflow writes after them.
STEPS_DONE = "geo_nemo.steps_done"
# MLflow takes so many at once, and characters a value.
_METRICS, _PARAMETERS, _CHARACTERS = 900, 90, 500
# Its own patience, of minutes, would hold back the line that says so.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# It would tell its makers of each call.
_SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true"}
_STATUS = {"finished": "FINISHED", "stopped": "SCHEDULED", "failed": "FAILED"}


class MLflow:
    """Metrics by the number of steps done, each step once; settings as parameters.

    MLflow keeps every value that it was told of a step, so steps that are taken again after a
    resume or a rewind are not told again. `mlflow_run_id.txt` in the folder keeps the run's id.
    """

    def __init__(self, told: Told):
        for name, value in (_PATIENCE | _SILENT).items():
            os.environ.setdefault(name, value)
        self._uri = _usable(told.logging.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI"))
        import mlflow

        # They warn of each attempt; what matters is said once.
        for name in ("mlflow", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._mlflow = mlflow
        self._told = told
        self._kept = told.output / KEPT
        self._client: Any = None
        self._id = ""
        self.last_told = 0

    def on_start(self, step: int) -> None:
        if self._id:
            return
        with self._asking(), _quiet():
            _make_folder_of(self._uri)
            self._client = self._client or self._mlflow.MlflowClient(tracking_uri=self._uri)
            run = self._found() or self._begun()
            self._tell_parameters(run)
        told = run.data.metrics.get(STEPS_DONE, 0), run.data.tags.get(STEPS_DONE, 0)
        self.last_told = max(map(int, told))
        self._id = run.info.run_id
        LOG.info(f"MLflow: run {self._id} at {masked(self._uri)}")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if step <= self.last_told:
            return
        entities, now = self._mlflow.entities, int(time.time() * 1000)
        metrics = [entities.Metric(plain(k), v, now, step) for k, v in values.items()]
        metrics.append(entities.Metric(STEPS_DONE, step, now, step))
        for start in range(0, len(metrics), _METRICS):
            with self._asking():
                self._client.log_batch(self._id, metrics=metrics[start : start + _METRICS])
        self.last_told = step

    def close(self, outcome: Outcome) -> None:
        if self._id:
            with self._asking():
                self._client.set_terminated(self._id, _STATUS[outcome])

    def _found(self) -> Any:
        """The run that this folder began, running again; None where there is none there."""
        try:
            kept = self._kept.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None
        try:
            run = self._client.get_run(kept)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            LOG.warning(f"{SETTING}: no run {kept} there any more; a new one is begun")
            return None
        if run.info.lifecycle_stage != "active":
            LOG.warning(f"{SETTING}: the run {kept} was deleted there; a new one is begun")
            return None
        self._client.update_run(kept, status="RUNNING")
        return run

    def _begun(self) -> Any:
        tags = {"mlflow.source.name": "geo-nemo train", "mlflow.source.type": "LOCAL"}
        with suppress(OSError, KeyError, ImportError):  # a user without a name
            tags["mlflow.user"] = getpass.getuser()
        run = self._client.create_run(self._experiment(), tags=tags, run_name=self._told.name)
        write_whole(self._kept, run.info.run_id.encode())
        return run

    def _experiment(self) -> str:
        """The id of the experiment, which is made where it is not there."""
        name = self._told.logging.mlflow_experiment
        name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name)
            except self._mlflow.exceptions.MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(name)  # by another run, just now
        if found.lifecycle_stage != "active":
            raise UserError(
                f"logging.mlflow_experiment={name} was deleted there: restore it, or name another"
            )
        return found.experiment_id

    def _tell_parameters(self, run: Any) -> None:
        """Those that are not there yet: MLflow lets none be changed."""
        entities = self._mlflow.entities
        new = [
            entities.Param(plain(key), str(value)[:_CHARACTERS])
            for key, value in flattened(self._told.config)
            if plain(key) not in run.data.params
        ]
        for start in range(0, len(new), _PARAMETERS):
            self._client.log_batch(run.info.run_id, params=new[start : start + _PARAMETERS])

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn MLflow's errors into an OSError, where nobody answers, or what the user can mend."""
        uri, version = masked(self._uri), self._mlflow.__version__
        try:
            yield
        except ModuleNotFoundError as error:
            raise UserError(missing(SETTING, error)) from error
        except self._mlflow.exceptions.MlflowException as error:
            text = str(error)
            code = int(found[1]) if (found := re.search(r"error code (\d{3})\b", text)) else 0
            busy = error.error_code == "TEMPORARILY_UNAVAILABLE"
            if may_pass(error) or busy or code == 429 or code >= 500:
                raise ConnectionError(f"{uri} does not answer") from error
            if "MLFLOW_ALLOW_FILE_STORE" in text:
                raise UserError(
                    f"{SETTING}={uri} is a folder, which MLflow {version} refuses: give a "
                    "database, as in sqlite:////FOLDER/mlflow.db, or a server, http://HOST:PORT; "
                    "MLFLOW_ALLOW_FILE_STORE=true in the environment has it take folders"
                ) from error
            if "unsupported URI" in text:
                raise UserError(
                    f"{SETTING}={uri} is no address that MLflow {version} knows: give a server, "
                    "http://HOST:PORT, or a database, as in sqlite:////FOLDER/mlflow.db"
                ) from error
            if code in (401, 403):
                raise UserError(
                    f"{SETTING}: {uri} refuses this user: give MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment"
                ) from error
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a line for each table of a new database, for which alembic sets up logging anew."""
    root = logging.root
    disabled, level, handlers = root.manager.disable, root.level, list(root.handlers)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
        root.setLevel(level)
        root.handlers[:] = handlers


def _make_folder_of(uri: str) -> None:
    """MLflow before 3 wants the folder of a database to be there, and waits a minute for it."""
    if not uri.startswith("sqlite:"):
        return
    path = uri.partition(":///")[2].partition("?")[0]
    if not path:
        raise UserError(f"{SETTING}={uri} names no file: sqlite:////FOLDER/mlflow.db")
    make_folder(Path(path).parent)


def _usable(uri: str | None) -> str:
    """The address without user and password, which go where MLflow looks for them."""
    if not uri:
        raise UserError(f"logging.loggers has mlflow: give {SETTING}, or set MLFLOW_TRACKING_URI")
    if f":{MASK}@" in uri:
        raise UserError(
            f"{SETTING}={uri} is a record's, without its password: give it without user and "
            "password, and those in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.username:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    if parts.password:
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
