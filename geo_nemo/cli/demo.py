"""`geo-nemo demo`: the whole way of a document, on a synthetic corpus or on the user's file.

corpus -> token store -> two trainings side by side (with metadata, and without) -> evaluation ->
report. Each step is a command of its own, printed before it runs; what is done is not done again.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from data_prep.synth.config import Synth
from geo_nemo.cli.children import Children, handed_on
from geo_nemo.cli.codes import INTERRUPTED, MISTAKE, STOPPED
from geo_nemo.cli.options import DiskPath
from geo_nemo.cli.progress import progress_bar
from geo_nemo.common.lock import folder_lock
from geo_nemo.common.log import logger
from geo_nemo.common.parse import parse_json
from geo_nemo.config import RunError, UserError
from geo_nemo.config.quoting import quote

LOG = logger(__name__)

POLL_S = 0.3
# How a training ends that was asked to: with a checkpoint, or before its first step.
ASKED_TO = (STOPPED, INTERRUPTED)
# Metadata in the first stage, or not: the two conditions that are compared.
CONDITIONS = {"with": (), "without": ("metadata@stages.condition.metadata=none",)}
# As in docs/experiments.md, `longer_confirm`. So many steps, for before them two runs of one seed
# differ by more than telling costs; half of the documents untold, for then told nothing costs
# least; two layers, for four take twice as long and show the same.
TRAINING = ("stages=half_untold", "model.num_layers=2", "train.micro_batch_size=16")
STEPS = 1200
DOCUMENTS = 24_000  # so that no step reads a text again
SYNTHETIC_VOCAB_SIZE = 1536
LEAST_QUESTIONS = 5  # a country, where there are fewer documents
VOCAB_SIZE = 4096


@click.command(epilog="Example: geo-nemo demo --corpus news.jsonl.gz --out runs/news")
@click.option("--corpus", metavar="FILE", help="Your JSONL(.gz/.zst) instead of synthetic news.")
@click.option(
    "--out",
    default="runs/demo",
    type=DiskPath(),
    metavar="FOLDER",
    show_default=True,
    help="Folder of all that is made.",
)
@click.option(
    "--steps",
    default=STEPS,
    show_default=True,
    type=click.IntRange(min=10),
    help="Optimizer steps of each training.",
)
@click.option(
    "--documents",
    metavar="N",
    type=click.IntRange(min=1000),
    help=f"Of synthetic news, {DOCUMENTS:,}: fewer for a quick look.",
)
def command(corpus: str | None, out: str, steps: int, documents: int | None) -> int:
    """Corpus, store, training with and without metadata, evaluation, report.

    Stopped at any point, the same command goes on from there. On two CPU cores the default takes
    about six minutes.
    """
    folder = Path(out)
    if corpus is not None and documents is not None:
        raise UserError("--documents is of synthetic news: leave it or --corpus out")
    if corpus is not None and not Path(corpus).is_file():
        what = "is a folder" if Path(corpus).is_dir() else "there is no such file"
        raise UserError(f"--corpus {corpus}: {what}; give a JSONL file")
    # A terminal's interrupt reaches the commands by itself.
    with folder_lock(folder), handed_on(signal.SIGTERM) as children:
        return _demo(children, corpus, folder, steps, documents)


def _demo(
    children: Children, corpus: str | None, folder: Path, steps: int, documents: int | None
) -> int:
    begin = time.monotonic()
    if corpus is None:
        input_file = folder / "corpus" / "news.jsonl.gz"
        synth = ["synth", f"output={quote(folder / 'corpus')}"]
        synth.append(f"documents={documents or DOCUMENTS}")
        if documents:
            usual = Synth(output=str(folder))
            questions = usual.questions_per_country * documents // usual.documents
            questions = max(LEAST_QUESTIONS, min(questions, usual.questions_per_country))
            synth.append(f"questions_per_country={questions}")
        _step(children, "1/5 synthetic corpus", *synth)
    else:
        input_file = Path(corpus)
    prep = ["run", f"input={quote(input_file)}", f"output={quote(folder / 'prep')}"]
    vocab_size = VOCAB_SIZE if corpus else SYNTHETIC_VOCAB_SIZE
    prep += [f"tokenizer.vocab_size={vocab_size}", "tokenizer.shrink=true"]
    _step(children, "2/5 corpus, tokenizer, token store", "prep", *prep)
    stopped = _train_side_by_side(children, folder, steps)
    if stopped:
        return STOPPED
    arguments = [f"runs.{name}={quote(folder / name)}" for name in CONDITIONS]
    arguments += [f"store={quote(folder / 'prep' / 'store')}", f"output={quote(folder / 'eval')}"]
    arguments.append("conditions=[with,without,plain,shuffled,wrong_country]")
    if corpus is None:
        arguments.append(f"questions={quote(folder / 'corpus' / 'questions.jsonl')}")
        arguments.append(f"floors={quote(folder / 'corpus' / 'floors.jsonl.gz')}")
    _step(children, "4/5 evaluation", "eval", *arguments)
    page = folder / "report.html"
    shown = ("report", f"eval={quote(folder / 'eval')}", f"output={quote(page)}")
    _step(children, "5/5 report", *shown)
    print(f"demo: {time.monotonic() - begin:.0f} s; open {page.resolve()}")
    return 0


def _step(children: Children, title: str, *arguments: str) -> None:
    """Run `geo-nemo` with `arguments` to its end, on this terminal."""
    if children.asked is not None:
        raise SystemExit(STOPPED)
    _announce(title, *arguments)
    process = children.start(_command(*arguments))
    _wait(process)
    if code := children.code(process):
        raise SystemExit(code)


def _train_side_by_side(children: Children, folder: Path, steps: int) -> bool:
    """Train every condition in a process of its own, at once. True when one was asked to stop."""
    if children.asked is not None:
        return True
    store = folder / "prep" / "store"
    running, logs = {}, {}
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, _cores() // len(CONDITIONS)))}
    for name, overrides in CONDITIONS.items():
        arguments = ["train", "experiment=demo", *TRAINING, f"name={name}"]
        arguments += [f"train.steps={steps}", f"train.warmup_steps={min(20, steps // 10)}"]
        arguments += overrides
        arguments.append(f"data.store={quote(store)}")
        arguments.append(f"output_dir={quote(folder / name)}")
        _announce("3/5 training" if not running else "", *arguments)
        logs[name] = folder / f"{name}.log"
        with logs[name].open("a") as log:
            running[name] = children.start(
                _command(*arguments), env=environment, stdin=subprocess.DEVNULL, stderr=log
            )
    codes: dict[str, int] = {}
    try:
        with progress_bar() as progress:
            while len(codes) < len(running):
                time.sleep(POLL_S)
                for name, process in running.items():
                    done, note = _standing(folder / name / "metrics.jsonl")
                    progress(name, done, steps, note)
                    if process.poll() is not None:
                        codes[name] = children.code(process)
                if any(code not in (0, *ASKED_TO) for code in codes.values()):
                    break
    except KeyboardInterrupt:
        # The terminal's interrupt reached the trainings too; they save and end.
        for process in running.values():
            _wait(process)
        codes = {name: children.code(process) for name, process in running.items()}
    finally:
        for process in running.values():
            if process.poll() is None:
                process.terminate()
                process.wait()
    for name, code in codes.items():
        if code not in (0, *ASKED_TO):
            kind = UserError if code == MISTAKE else RunError
            raise kind(f"training {name} ended with code {code}: {_last_line(logs[name])}")
    if any(codes.values()):
        LOG.info("demo: stopped and saved; the same command goes on from there")
        return True
    return False


def _standing(metrics: Path) -> tuple[int, str]:
    """Steps done and a note, from the last whole line of a training's metrics."""
    with suppress(OSError, ValueError, KeyError, IndexError):
        with metrics.open("rb") as file:
            file.seek(max(0, metrics.stat().st_size - 8192))
            lines = file.read().splitlines()
        line = parse_json(next((x for x in reversed(lines) if x.endswith(b"}")), b""))
        speed = f"{line['tokens_per_second']:,.0f} tokens/s"
        return line["step"] + 1, f"{line['stage']}, loss {line['loss']:.3f}, {speed}"
    return 0, "starting"


def _wait(process: subprocess.Popen) -> None:
    """Until a command has ended; an interrupt from the terminal is the command's to handle."""
    while process.returncode is None:
        with suppress(KeyboardInterrupt):
            process.wait()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "geo_nemo", *arguments]


def _announce(title: str, *arguments: str) -> None:
    if title:
        print(f"\n== {title}", flush=True)
    print(f"$ geo-nemo {shlex.join(arguments)}", flush=True)


def _last_line(log: Path) -> str:
    lines = [
        line
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    return lines[-1].removeprefix("geo-nemo: ") if lines else f"see {log}"


def _cores() -> int:
    return len(os.sched_getaffinity(0))
