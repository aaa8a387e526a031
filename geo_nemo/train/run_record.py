"""`run.json`: what runs in a folder, from which command, with which versions. Needs no torch."""

import json
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from geo_nemo.common.files import write_whole
from geo_nemo.common.parse import parse_json
from geo_nemo.common.secrets import masked
from geo_nemo.common.versions import installed
from geo_nemo.config import UserError
from geo_nemo.runtime.launcher import rank
from geo_nemo.tokenizers.base import control_tokens
from geo_nemo.train.origin import as_record
from geo_nemo.train.setup import Prepared

PACKAGES = ("geo-nemo", "torch", "megatron-core", "transformer-engine", "numpy")


class RunRecord:
    """Writes `run.json` on rank 0, once the newest checkpoint has been found to be of this run."""

    def __init__(self, prepared: Prepared, world_size: int):
        self.prepared = prepared
        self.world_size = world_size
        self._is_written = False

    def on_start(self, step: int) -> None:
        if rank() == 0 and not self._is_written:  # after a rewind it is the same session
            write_record(self.prepared, self.world_size)
            self._is_written = True

    def reads(self, step: int) -> bool:
        return False

    def on_step(self, event: Any) -> None: ...

    def on_end(self) -> None: ...


def write_record(prepared: Prepared, world_size: int) -> None:
    """Write `run.json`: what runs here, from which command, with which versions."""
    run = prepared.run
    path = Path(run.output_dir) / "run.json"
    session = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": masked(shlex.join(["geo-nemo", *sys.argv[1:]])),
        "world_size": world_size,
        "python": platform.python_version(),
        "versions": installed(PACKAGES),
    }
    sessions = earlier_sessions(path.parent)
    first = sessions[0] if sessions else session
    record = {
        "name": run.name,
        "command": session["command"],
        "started": first["started"],
        "config": run.model_dump(mode="json"),
        "parameters": prepared.parameters,
        "vocab_size": prepared.vocab_size,
        "policy_hashes": {stage.name: stage.policy.hash() for stage in prepared.stages},
        "init": as_record(prepared.origin),
        "store_hash": prepared.store.hash,
        "tokenizer_sha256": prepared.tokenizer.sha256,
        "control_tokens": control_tokens(prepared.tokenizer),
        "versions": session["versions"],
        "sessions": [*sessions, session],
    }
    write_whole(path, json.dumps(record, indent=1).encode())


def earlier_sessions(output: Path) -> list[dict[str, Any]]:
    """The sessions that `run.json` in `output` lists; `UserError` where it is no run record."""
    path = output / "run.json"
    if not path.exists():
        return []
    try:
        sessions = parse_json(path.read_bytes())["sessions"]
        if not isinstance(sessions, list):
            raise TypeError
        return sessions
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path} is not a run record: give another output_dir") from None
