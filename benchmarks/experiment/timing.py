"""How long an experiment takes, from a few steps of a run and an evaluation of some texts."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.experiment.evaluation import eval_arguments, evaluation_config
from benchmarks.experiment.plan import Planned
from benchmarks.experiment.schema import TIMING, Experiment
from benchmarks.experiment.work import Processes
from geo_nemo.common.files import read_json, understood, write_whole
from geo_nemo.common.parse import parse_json
from geo_nemo.config.quoting import quote
from geo_nemo.store import TokenStore

WARM_UP = 3
TEXTS = 64
ENOUGH_S = 60.0  # of measured steps
FILE = "timing.json"


@dataclass(frozen=True)
class Timing:
    """Seconds of a step, of a start (and end) of a training, and of an evaluation."""

    step: float
    start: float
    evaluation: float

    def of(self, planned: list[Planned], at_once: int) -> float:
        """Seconds of all these runs, where so many go on at once."""
        each = self.start + self.evaluation
        return sum(run.steps * self.step + each for run in planned) / at_once


def measure(
    experiment: Experiment, planned: list[Planned], store: Path, work: Path, processes: Processes
) -> Timing:
    """Measured once for a work folder and a plan; later commands read what was measured."""
    path, first = work / FILE, planned[0]
    key = f"{first.key} {experiment.timing_steps} {experiment.evaluation}"
    if path.exists():
        known = read_json(path, f"remove {path}")
        with understood(path, f"remove {path}"):
            if known.get("key") == key:
                return Timing(**known["timing"])
    folder = work / TIMING / first.key
    steps = experiment.timing_steps
    log = folder / "log"
    settings = short_settings(first, steps, folder / "run")
    whole = processes.run(
        ["train", *settings], log, lambda: sum(step_seconds(folder / "run")) >= ENOUGH_S
    )
    seconds = step_seconds(folder / "run")
    documents = scored_documents(experiment, store)
    texts = min(TEXTS, documents)
    arguments = eval_arguments(
        "first", folder / "run", store, folder / "eval", experiment.evaluation
    )
    short = processes.run([*arguments, f"num_documents={texts}"], log)
    start = max(whole - sum(seconds), 0.0)
    scored = max(short - start, 0.0) * documents / texts
    timing = Timing(median(seconds[WARM_UP:] or seconds), start, start + scored)
    write_whole(path, json.dumps({"key": key, "timing": asdict(timing)}).encode())
    return timing


def step_seconds(run: Path) -> list[float]:
    """Of a run's steps until now."""
    metrics = run / "metrics.jsonl"
    if not metrics.exists():
        return []
    lines = metrics.read_text().splitlines(keepends=True)
    return [parse_json(line)["seconds"] for line in lines if line.endswith("\n")]


def short_settings(planned: Planned, steps: int, output: Path) -> list[str]:
    """Settings of a training as a run's, of so many steps, whatever its file says of its length."""
    run = planned.run
    settings = [text for text in planned.settings if not text.startswith("output_dir=")]
    settings += [f"output_dir={quote(output)}", f"train.steps={steps}", "train.warmup_steps=1"]
    settings += ["logging.every_steps=1", f"checkpoint.every_steps={steps}"]
    for name, stage in run.stages.items():
        if stage.steps or stage.tokens:  # which would decide train.steps
            settings += [f"stages.{name}.{key}=null" for key in ("steps", "tokens")]
            settings.append(f"stages.{name}.fraction={stage.fraction}")
    if run.average.start >= steps:
        settings.append("average.start=0")
    if run.logging.profile is not None:
        settings.append("logging.profile=null")
    if run.checkpoint.keep_best:
        settings.append("checkpoint.keep_best=0")
    return settings


def scored_documents(experiment: Experiment, store: Path) -> int:
    """How many documents each of its evaluations scores."""
    config = evaluation_config(experiment, store)
    there = len(TokenStore.open(store).split(config.split))
    return min(config.num_documents or there, there)


def words(seconds: float) -> str:
    """A duration as it is told: 40 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
