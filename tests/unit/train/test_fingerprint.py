"""What must be as it was at the checkpoint, by the name that the user knows, and what need not."""

import json
import shutil

import pytest

from geo_nemo.config import (
    Average,
    Checkpoint,
    Data,
    Logging,
    MetadataPolicy,
    Model,
    Parallel,
    Precision,
    Run,
    Stage,
    Train,
    UserError,
)
from geo_nemo.config.section import LATER
from geo_nemo.store import TokenStore
from geo_nemo.train.checkpoint.changes import changed_settings
from geo_nemo.train.setup import check_borders, prepare
from tests.support.runs import finished, trainer
from tests.support.tiny import NO_METADATA, tiny_run


@pytest.fixture(scope="module")
def checkpoint(tiny_store, tmp_path_factory, single_process):
    return finished(tiny_store, tmp_path_factory.mktemp("run")).directory.parent


def changed(section, **values):
    """A section of the tiny run with some values replaced."""
    return type(section).model_validate({**section.model_dump(), **values})


BASE = tiny_run("store", "out")
MUST_STAY = {
    "train.lr": {"train": changed(BASE.train, lr=2e-3)},
    "train.min_lr": {"train": changed(BASE.train, min_lr=1e-5)},
    "train.steps": {"train": changed(BASE.train, steps=8)},
    "train.warmup_steps": {"train": changed(BASE.train, warmup_steps=1)},
    "train.global_batch_size": {"train": changed(BASE.train, global_batch_size=16)},
    "train.weight_decay": {"train": changed(BASE.train, weight_decay=0.2)},
    "train.clip_grad": {"train": changed(BASE.train, clip_grad=1.0)},
    "data.seq_length": {"data": "seq_length=64"},
    "data.packing_window": {"data": "packing_window=32"},
    "seed": {"seed": 8},
    "parallel.distributed_optimizer": {"parallel": Parallel(distributed_optimizer=False)},
    "precision.dtype": {"precision": Precision(dtype="bf16")},
    "average": {"average": Average(kind="ema")},
    "model.num_layers": {"model": changed(BASE.model, num_layers=4)},
    "stages.condition.metadata": {
        "stages": {
            "condition": Stage(fraction=0.5, metadata=MetadataPolicy(fields=("country",))),
            "cooldown": BASE.stages["cooldown"],
        }
    },
    "stages.cooldown.metadata": {
        "stages": {
            "condition": BASE.stages["condition"],
            "cooldown": Stage(fraction=0.5, metadata=MetadataPolicy()),
        }
    },
    "stages.condition.fraction, stages.cooldown.fraction": {
        "stages": {
            "condition": Stage(fraction=0.6, metadata=MetadataPolicy()),
            "cooldown": Stage(fraction=0.4, metadata=NO_METADATA),
        }
    },
    "stages.condition.select": {
        "stages": {
            "condition": Stage(fraction=0.5, metadata=MetadataPolicy(), select={"min_quality": 1}),
            "cooldown": BASE.stages["cooldown"],
        }
    },
    "stages.cooldown.sampling": {
        "stages": {
            "condition": BASE.stages["condition"],
            "cooldown": Stage(fraction=0.5, metadata=NO_METADATA, sampling={"temperature": 2}),
        }
    },
    "stages.later.fraction, stages.later.lr, stages.later.metadata, stages.later.select, "
    "stages.later.sampling, stages, stages.cooldown.fraction, stages.cooldown.lr, "
    "stages.cooldown.metadata, stages.cooldown.select, stages.cooldown.sampling": {
        "stages": {
            "condition": BASE.stages["condition"],
            "later": BASE.stages["cooldown"],
        }
    },
}


def with_store(changes, store):
    """`data: key=value` as a Data section over `store`."""
    if isinstance(changes.get("data"), str):
        key, value = changes["data"].split("=")
        settings = {"store": str(store), "seq_length": 128, "packing_window": 64, key: int(value)}
        return {**changes, "data": Data(**settings)}
    return changes


@pytest.mark.parametrize("names", MUST_STAY)
def test_a_change_is_named(names, checkpoint, tiny_store):
    run = tiny_run(tiny_store, checkpoint, **with_store(MUST_STAY[names], tiny_store))
    with pytest.raises(UserError) as refused:
        trainer(run).resume()
    message = str(refused.value)
    assert message.startswith(f"{names} changed since the checkpoint {checkpoint}")
    assert "\n" not in message


def test_another_store_is_named(checkpoint, tiny_store, tmp_path):
    """A store of the same tokenizer whose manifest says something else."""
    other = tmp_path / "store"
    shutil.copytree(tiny_store, other)
    path = other / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["quarantine"] = {"empty text": 1}
    path.write_text(json.dumps(manifest))
    assert TokenStore.open(other).hash != TokenStore.open(tiny_store).hash
    with pytest.raises(UserError, match=r"^store changed since the checkpoint"):
        trainer(tiny_run(other, checkpoint)).resume()


def test_another_tokenizer_is_named(checkpoint, tiny_store):
    made = trainer(tiny_run(tiny_store, checkpoint))
    made.prepared.fingerprint["tokenizer"] = "0" * 64
    with pytest.raises(UserError, match=r"^tokenizer changed since the checkpoint"):
        made.resume()


FREE = {
    "name": {"name": "another"},
    "micro_batch_size": {"train": changed(BASE.train, micro_batch_size=8)},
    "layout": {"parallel": Parallel(overlap_grad_reduce=True, overlap_param_gather=True)},
    "checkpoint": {"checkpoint": Checkpoint(every_steps=1, keep_last=5)},
    "logging": {"logging": Logging(every_steps=7)},
    "deterministic": {"deterministic": True},
    "an average that is not kept": {"average": Average(decay=0.5, start=3)},
    "device": {"device": "auto"},
    "groups": {"groups": ("year", "source")},
}


@pytest.mark.parametrize("names", FREE)
def test_where_and_how_it_runs_may_change(names, checkpoint, tiny_store):
    made = trainer(tiny_run(tiny_store, checkpoint, **FREE[names]))
    made.resume()
    assert made.step == 6


def test_a_store_that_was_moved_is_the_same_store(checkpoint, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "moved")
    moved = trainer(tiny_run(tmp_path / "moved", checkpoint))
    moved.resume()
    assert moved.step == 6


def test_every_setting_of_a_run_is_either_kept_or_free(tiny_store):
    """A new setting that nobody thought of here is in the fingerprint, which is the safe side."""
    # Without one, the fingerprint is that of runs from before there was this setting.
    run = tiny_run(tiny_store, "out", model=changed(BASE.model, rotary_scaling=8.0))
    names = set(prepare(run, world_size=1).fingerprint)
    sections = {"model": Model, "train": Train, "precision": Precision, "data": Data}
    expected = {
        f"{name}.{key}"
        for name, kind in sections.items()
        for key, field in kind.model_fields.items()
        if LATER not in field.metadata  # those are in it where they are set
    } | {"model.rotary_scaling"}
    expected -= {"data.store", "data.cache_dir", "data.index_dir", "data.index_workers"}
    expected -= {"train.micro_batch_size", "precision.moments", "precision.fp8"}
    expected -= {"data.packing_options"}  # none with ours; else in data.packing too
    expected |= {"seed", "store", "tokenizer", "stages", "parallel.distributed_optimizer"}
    # The fraction follows from steps and tokens, and has the name that it once had.
    of_stages = set(Stage.model_fields) - {"steps", "tokens", "fraction"} | {"share"}
    of_stages -= {"replay", "token_selection", "seq_length", "global_batch_size"}  # where set
    of_stages -= {"micro_batch_size", "parallel"}  # free
    expected |= {f"stages.{s}.{k}" for s in run.stages for k in of_stages}
    assert names == expected
    assert set(Run.model_fields) == set(sections) | {
        *("name", "output_dir", "seed", "device", "deterministic", "stages", "parallel"),
        *(
            "checkpoint",
            "logging",
            "health",
            "notify",
            "sharing",
            "validation",
            "bad_steps",
            "callbacks",
            "average",
            "groups",
        ),
        "init",  # of which the fingerprint has what it led to (test_initial.py)
    }


def test_a_setting_decides_unless_it_is_declared_free():
    """A new setting of any section is in the fingerprint, without a list elsewhere."""
    from typing import Annotated

    from geo_nemo.config.section import FREE, LATER, Section

    class Inner(Section):
        free: Annotated[int, FREE] = 1
        later: Annotated[int | None, LATER] = None
        decides: tuple[int, ...] = (1, 2)

    class Outer(Section):
        inner: Inner = Inner()
        away: Annotated[Inner, FREE] = Inner()

    assert Outer().deciding() == {"inner": {"decides": [1, 2]}}
    assert Outer(inner=Inner(later=3)).deciding() == {"inner": {"decides": [1, 2], "later": 3}}


def test_what_came_later_is_believed_where_a_checkpoint_does_not_tell_it():
    old, key = {"seed": "1"}, "stages.a.brought_fields"
    assert changed_settings(old, {"seed": "1", key: "m:F 1"}) == []
    assert changed_settings({**old, key: "m:F 1"}, {"seed": "2", key: "m:F 2"}) == ["seed", key]
    assert changed_settings({**old, key: "m:F 1"}, old) == [key]
    assert changed_settings({}, old) == ["seed"]


def test_a_stage_of_millions_of_steps_that_begins_a_step_later_is_a_change(tmp_path):
    def run(steps):
        values = BASE.model_dump(mode="json")
        for stage, own in zip(values["stages"].values(), (steps, 3_000_000 - steps), strict=True):
            stage["steps"] = own
        return Run.model_validate(values)

    begun, checkpoint = run(1_999_999), tmp_path / "checkpoints/step_00000100"
    saved = begun.model_dump(mode="json")
    check_borders(saved, begun, checkpoint)
    assert f"{run(2_000_000).stages['cooldown'].fraction:g}" == "0.333333"
    with pytest.raises(
        UserError, match=r"^stages\.condition\.fraction, stages\.cooldown\.fraction c"
    ):
        check_borders(saved, run(2_000_000), checkpoint)
    for stage in saved["stages"].values():
        stage["share"] = stage.pop("fraction")  # as it was called at first
    check_borders(saved, begun, checkpoint)
    check_borders({}, begun, checkpoint)
