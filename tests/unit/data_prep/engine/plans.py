"""A stage whose tasks do what a file says: finish, fail, be killed, wait."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import orjson

from data_prep.config import Execution, Prep, Slurm
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from geo_nemo.common.errors import UserError


class Planned(Stage):
    """Tasks of the JSON file that the config's input names: `{id: what it does}`.

    Every run of a task adds a line to `<plan>.runs`.
    """

    name = "planned"

    def tasks(self) -> list[Task]:
        plan = orjson.loads(self._plan.read_bytes())
        return [
            Task(id=i, key=task_key(i, plan.get("version", "1")), size=100, payload={"do": do})
            for i, do in plan["tasks"].items()
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        with open(f"{self._plan}.runs", "a") as runs:
            runs.write(f"{task.id}\n")
        progress(50, 5)
        match task.payload["do"]:
            case "fail":
                raise ValueError("the task  fell\nover")
            case "mistake":
                raise UserError("line 3 of news.jsonl is no JSON: mend it")
            case "be killed":
                (folder / "half").write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                while not Path(f"{self._plan}.go").exists():
                    time.sleep(0.02)
        (folder / "out.txt").write_text(f"{task.id} is done")
        return {"letters": len(task.id)}

    @property
    def _plan(self) -> Path:
        return Path(self.config.input[0].path)


def planned(folder: Path, tasks: dict[str, str], version: str = "1", **execution: Any) -> Planned:
    """The stage with these tasks, in `folder/out`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_bytes(orjson.dumps({"tasks": tasks, "version": version}))
    slurm = execution.pop("slurm", {})
    config = Prep(
        input=str(folder / "plan.json"),
        output=str(folder / "out"),
        execution=Execution(slurm=Slurm(**slurm), **execution),
    )
    return Planned(config)


def runs(folder: Path) -> list[str]:
    """Ids of the tasks that were started, sorted; the list is emptied."""
    path = folder / "plan.json.runs"
    found = sorted(path.read_text().split()) if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def results(stage: Planned) -> dict[str, str]:
    """What finished tasks wrote."""
    return {path.parent.name: path.read_text() for path in sorted(stage.folder.glob("*/out.txt"))}
