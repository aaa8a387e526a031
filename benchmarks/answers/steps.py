"""A seed's way: pre-train, export, tune and ask, for a conditioned model and an ordinary one.

What is done is read from disk, so that a command that was stopped goes on.
"""

from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.answers.scores import rates, switched
from benchmarks.experiment.schema import Corpus as Synthetic
from benchmarks.experiment.work import Processes, make_store
from geo_nemo.cli.demo import SYNTHETIC_VOCAB_SIZE
from geo_nemo.common.files import write_whole
from geo_nemo.config.quoting import quote

MODELS = {
    "conditioned": (),
    "ordinary": ("metadata@stages.condition.metadata=plain",),
}
# The longest answer of the synthetic corpus has fewer.
NEW_TOKENS = 20


@dataclass(frozen=True)
class Corpus:
    """The synthetic corpus, and the store that is made of it."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "prep" / "store"

    @property
    def instructions(self) -> Path:
        return self.folder / "raw" / "instructions.jsonl"

    @property
    def told(self) -> Path:
        return self.folder / "raw" / "instructions_test.jsonl"

    @property
    def untold(self) -> Path:
        """The same questions, without a word of their origin."""
        return self.folder / "untold.jsonl"


def make_corpus(folder: Path, documents: int | None, processes: Processes) -> Corpus:
    corpus = Corpus(folder)
    own = (f"documents={documents}",) if documents else ()
    prep = (f"tokenizer.vocab_size={SYNTHETIC_VOCAB_SIZE}", "tokenizer.shrink=true")
    make_store(Synthetic(synth=own, prep=prep), folder, processes)
    if not corpus.untold.exists():
        records = [{**record, "metadata": {}} for record in read(corpus.told)]
        write_whole(corpus.untold, b"".join(orjson.dumps(record) + b"\n" for record in records))
    return corpus


def answers(
    model: str, seed: int, steps: int, corpus: Corpus, folder: Path, processes: Processes
) -> dict[str, dict[str, float]]:
    """Train and ask one model of a seed: fractions right by what it was told and kind.

    An ordinary model is told nothing: it has no field to be told.
    """
    log = folder / "log"
    run, export, tuned = folder / "run", folder / "export", folder / "tuned"
    if not export.exists():
        train = ["train", "experiment=demo", f"name={model}", f"seed={seed}"]
        train += [f"train.steps={steps}", f"train.warmup_steps={min(20, steps // 10)}"]
        train += [f"data.store={quote(corpus.store)}", f"output_dir={quote(run)}", *MODELS[model]]
        processes.run(train, log)
        processes.run(["export", str(run), "--out", str(export)], log)
    if not tuned.exists():
        tune = ["tune", str(export), f"data={quote(corpus.instructions)}", f"seed={seed}"]
        processes.run([*tune, f"output={quote(tuned)}", "--show", "0"], log)
    asked = {"untold": corpus.untold}
    if model == "conditioned":
        asked["told"] = corpus.told
    found = {}
    for name, questions in asked.items():
        out = folder / f"{name}.jsonl"
        if not out.exists():
            generate = ["generate", str(tuned), "--file", str(questions), "--out", str(out)]
            processes.run([*generate, "--max-new-tokens", str(NEW_TOKENS)], log)
        records = read(out)
        found[name] = rates(records)
        if name == "told":
            both, pairs = switched(records)
            found[name]["switched"] = both / pairs
    return found


def read(path: Path) -> list[dict]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
