"""Weights & Biases: one run over all restarts; with WANDB_MODE=offline, in the run's folder."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from geo_nemo.common.files import write_whole
from geo_nemo.common.log import logger
from geo_nemo.config import UserError
from geo_nemo.train.callbacks.loggers.logger import Outcome, Told
from geo_nemo.train.callbacks.loggers.wandb_files import last_step

LOG = logger(__name__)

SETTING = "logging.wandb_project"
KEPT = "wandb_id.txt"
ANSWER_SECONDS = 10
OFFLINE = "WANDB_MODE=offline keeps the run in its folder"
_EXIT_CODES = {"finished": 0, "stopped": 75, "failed": 1}


class WandB:
    """A row a step, under the number of steps done, which must grow there.

    So steps that are taken again after a resume or a rewind are not told again; they had the same
    batches. `wandb_id.txt` in the folder keeps the id. The server knows what it has, and offline
    the files do.
    """

    def __init__(self, told: Told):
        # Its words stand between those of the run; what matters is said here.
        os.environ.setdefault("WANDB_SILENT", "true")
        # Of its own errors, to its makers, wherever its server is.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        if not told.logging.wandb_project and not os.environ.get("WANDB_PROJECT"):
            raise UserError(f"logging.loggers has wandb: give {SETTING}, or set WANDB_PROJECT")
        self._wandb = wandb
        self._told = told
        self._run: Any = None
        self.last_told = 0

    def on_start(self, step: int) -> None:
        if self._run is not None:
            return
        if not self._is_offline():
            self._check_server()
        told = self._told
        run_id, is_new = self._id()
        in_files = last_step(told.output / "wandb", run_id)  # before a session is added
        self._run = self._wandb.init(
            project=told.logging.wandb_project or None,
            entity=told.logging.wandb_entity,
            name=told.name,
            id=run_id,
            resume="allow",
            dir=str(told.output),
            config=dict(told.config),
            settings=self._wandb.Settings(console=os.environ.get("WANDB_CONSOLE", "off")),
        )
        if not self._run.offline:
            self.last_told = max(self._run.starting_step - 1, 0)
        elif in_files is not None:
            self.last_told = in_files
        else:  # of a run that has begun, files that are gone were synced
            self.last_told = 0 if is_new else step
        LOG.info(f"W&B: {self._run.dir if self._run.offline else self._run.url}")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if step <= self.last_told:
            return
        self._run.log(dict(values), step=step, commit=True)
        self.last_told = step

    def close(self, outcome: Outcome) -> None:
        if self._run is None:
            return
        if outcome == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=_EXIT_CODES[outcome])

    def _id(self) -> tuple[str, bool]:
        """The run's id, and whether it was made just now."""
        path = self._told.output / KEPT
        with suppress(OSError, UnicodeDecodeError):
            if kept := path.read_text().strip():
                return kept, False
        made = secrets.token_hex(8)
        write_whole(path, made.encode())
        return made, True

    def _is_offline(self) -> bool:
        return self._wandb.setup().settings.mode in ("offline", "disabled", "dryrun")

    def _check_server(self) -> None:
        """Ask the server for the key's user: W&B itself waits for minutes, and says less clearly.

        Raises an OSError where nobody answers, `UserError` where the key is refused.
        """
        import requests

        address = self._wandb.setup().settings.base_url.rstrip("/")
        key = os.environ.get("WANDB_API_KEY")
        place = "WANDB_API_KEY" if key else "the login"
        login = requests.utils.get_netrc_auth(address)
        user = ("api", key) if key else login
        try:
            answer = requests.post(
                f"{address}/graphql",
                json={"query": "query Viewer { viewer { id } }"},
                auth=user,
                timeout=ANSWER_SECONDS,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
                return  # W&B's own client may know better
            raise ConnectionError(f"{address} does not answer; {OFFLINE}") from error
        if user and (answer.status_code in (401, 403) or _is_nobody(answer)):
            raise UserError(
                f"{SETTING}: {address} refuses the key of {place} ({answer.status_code}): "
                f"give a valid one in WANDB_API_KEY, or by wandb login; {OFFLINE}"
            )


def _is_nobody(answer: Any) -> bool:
    """Whether the server answers that it knows no user of this key."""
    with suppress(ValueError, KeyError, TypeError):
        return answer.json()["data"]["viewer"] is None
    return False
