"""Weights & Biases: one run over all restarts; with WANDB_MODE=offline, in the run's folder."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from geo_nemo.config import UserError
from geo_nemo.train.callbacks.loggers.kept import keep, read_kept
from geo_nemo.train.callbacks.loggers.logger import Outcome, Told
from geo_nemo.train.checkpoint_files import say

SETTING = "logging.wandb_project"
KEPT = "wandb.json"
# Where versions before this one kept the id.
OLD_ID = "wandb_id.txt"
ANSWER_SECONDS = 10
OFFLINE = "WANDB_MODE=offline keeps the run in its folder"
_EXIT_CODES = {"finished": 0, "stopped": 75, "failed": 1}


class WandB:
    """A row a step, under the number of steps done, which must grow there.

    So steps that are taken again after a resume or a rewind are not told again; they had the same
    batches. In the folder, `wandb.json` keeps the id, and the last step for runs that are offline.
    """

    def __init__(self, told: Told):
        # Its words stand between those of the run; what matters is said here.
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        if not told.logging.wandb_project and not os.environ.get("WANDB_PROJECT"):
            raise UserError(f"logging.loggers has wandb: give {SETTING}, or set WANDB_PROJECT")
        self._wandb = wandb
        self._told = told
        self._kept = told.output / KEPT
        self._run: Any = None
        self._last = 0

    @property
    def rest(self) -> str:
        """How to bring there what it has not taken."""
        return f"what it lacks: wandb sync {Path(self._run.dir).parent}" if self._run else ""

    def on_start(self, step: int) -> None:
        if self._run is not None:
            return
        if not self._is_offline():
            self._check_server()
        told, kept = self._told, read_kept(self._kept)
        self._id = kept.get("id") or self._old_id() or secrets.token_hex(8)
        if "id" not in kept:
            keep(self._kept, id=self._id, step=0)
        self._run = self._wandb.init(
            project=told.logging.wandb_project or None,
            entity=told.logging.wandb_entity,
            name=told.name,
            id=self._id,
            resume="allow",
            dir=str(told.output),
            config=dict(told.config),
            settings=self._wandb.Settings(console=os.environ.get("WANDB_CONSOLE", "off")),
        )
        # The server knows what it has; offline, nobody else does.
        offline = self._run.offline
        self._last = int(kept.get("step", 0)) if offline else max(self._run.starting_step - 1, 0)
        say(f"W&B: {self._run.dir if offline else self._run.url}")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if step <= self._last:
            return
        self._run.log(dict(values), step=step, commit=True)
        self._last = step
        keep(self._kept, id=self._id, step=step)

    def close(self, outcome: Outcome) -> None:
        if self._run is None:
            return
        if outcome == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=_EXIT_CODES[outcome])

    def _old_id(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return (self._told.output / OLD_ID).read_text().strip()
        return ""

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
