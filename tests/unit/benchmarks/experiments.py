"""An experiment as its file has it, of runs that train in seconds."""

from pathlib import Path

import yaml

from benchmarks.experiment.plan import plan_runs
from benchmarks.experiment.schema import Experiment

SETTINGS = [
    "experiment=demo", "device=cpu", "deterministic=true", "model.num_layers=1",
    "model.hidden_size=32", "model.ffn_hidden_size=48", "data.seq_length=128", "train.steps=6",
    "train.global_batch_size=4", "train.micro_batch_size=4", "train.warmup_steps=1",
    "stages.condition.fraction=0.5", "stages.cooldown.fraction=0.5", "logging.every_steps=1",
]  # fmt: skip
RUNS = {
    "ordinary": ["metadata@stages.condition.metadata=none"],
    "told": [],
    "mixed": ["metadata@stages.cooldown.metadata=mixed"],
}
CLAIM = {"says": "as good", "of": ["told", "without"], "against": ["ordinary", "without"],
         "at_most": 0.5}  # fmt: skip


def content(store="/s", **changes):
    values = {
        "question": "Is it?", "expected": "It is.", "store": str(store), "settings": SETTINGS,
        "runs": RUNS, "seeds": [1, 2], "baseline": ["ordinary", "without"], "claims": [CLAIM],
        "evaluation": {"conditions": ["with", "without"],
                       "settings": ["metadata=full", "num_documents=20", "bootstrap_samples=100"]},
    }  # fmt: skip
    return {key: value for key, value in (values | changes).items() if value is not None}


def line(run, seed, nats, **changes):
    """Of a finished run. nats: by condition, of bodies and of the whole text alike."""
    documents = {"store_hash": "s", "split": "test", "scored": 9, "title_tokens": 1,
                 "body_tokens": 2}  # fmt: skip
    machine = {"cpu": "a", "cores": 2, "torch": "b"}
    facts = {"steps": 6, "tokens": 60, "parameters": 600, "seconds": {"train": 1.0, "eval": 0.5}}
    parts = {condition: {"body": value, "text": value} for condition, value in nats.items()}
    return {"run": run, "seed": seed, "key": "k", "commit": "c", "machine": machine, **facts,
            "documents": documents, "nats": parts} | changes  # fmt: skip


def file_of(folder, **changes):
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content(**changes), sort_keys=False))
    return path


def planned_of(store, work, **changes):
    return plan_runs(Experiment.model_validate(content(store, **changes)), Path(store), work)
