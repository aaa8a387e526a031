"""Experiments: what is refused before anything trains, what runs share, the whole way."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks.experiment import timing
from benchmarks.experiment.before import prepared, with_places
from benchmarks.experiment.branch import branch
from benchmarks.experiment.command import command, places_of
from benchmarks.experiment.evaluation import evaluation_config
from benchmarks.experiment.figures import read_lines
from benchmarks.experiment.plan import Branch, Planned, load_run
from benchmarks.experiment.schema import FOLDER, Experiment, read_experiment
from benchmarks.experiment.standing import CODE, check_standing, note_code
from benchmarks.experiment.timing import measure, short_settings
from benchmarks.experiment.work import (
    TIMES,
    Processes,
    Stopped,
    counted,
)
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.common.files import read_json
from geo_nemo.config import Run
from geo_nemo.config.load import load_config
from geo_nemo.config.recipe_files import add_recipes
from geo_nemo.store import TokenStore
from tests.support.runs import trainer
from tests.unit.benchmarks.experiments import (
    CLAIM,
    RUNS,
    SETTINGS,
    content,
    file_of,
    planned_of,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claims": [{k: v for k, v in CLAIM.items() if k != "against"}]},
         r"own.yaml: claims.0: no baseline: give against: \[RUN, CONDITION\]"),
        ({"claims": [CLAIM | {"against": ["none", "without"]}]},
         r"claims.0 names run none; there is ordinary, told, mixed"),
        ({"claims": [CLAIM | {"of": ["told", "plain"]}]},
         r"claims.0 names condition plain, which evaluation.conditions does not list"),
        ({"claims": [CLAIM | {"keeps": 0.9}]}, r"give at_most, or keeps"),
        ({"claims": [CLAIM | {"at_most": -2}]}, r"claims.0.at_most=-2: input should be greater"),
        ({"claims": [CLAIM | {"among": "topic=sport"}]},
         r"claims.0.among: topic needs groups=topic in evaluation.settings"),
        ({"seeds": [3]}, r"seeds \[3\]: an interval over seeds needs two different ones"),
        ({"seeds": [3, 3]}, r"seeds \[3, 3\]: an interval over seeds needs two"),
        ({"seeds": [3, 4, 3]}, r"seeds \[3, 4, 3\] names a seed twice"),
        ({"corpus": {}}, r"give store: FOLDER, or corpus:"),
        ({"question": None}, r"own.yaml has no question: add it to the file"),
        ({"runz": 1}, r"unknown key runz; did you mean runs\?"),
        ({"question": ""}, r"own.yaml: question='': it is empty"),
        ({"seeds": [True, 2]}, r"own.yaml: seeds: write a number, not true"),
        ({"seeds": [-1, 2]}, r"seeds.0=-1: input should be greater than or equal to 0"),
        ({"store": "s3://a/b"}, r"store=s3://a/b: give a folder of this machine"),
        ({"settings": [*SETTINGS, "seed=3"]}, r"settings: seed=3 is the experiment's to give"),
        ({"runs": RUNS | {"told": ["output_dir=/tmp"]}}, r"runs.told: output_dir=/tmp is the exp"),
        ({"runs": RUNS | {"told": ["++data.store=/s"]}}, r"runs.told: \+\+data.store=/s is the"),
        ({"evaluation": {"settings": ["metadata=full", "runs.a=/r"]}},
         r"evaluation.settings: runs.a=/r is the experiment's to give: leave it out"),
        # A run's folder would be removed with the corpus, or with what is made before.
        *(({"runs": RUNS | {name: []}}, rf"runs.{name}: that folder is the experiment's; rename")
          for name in ("corpus", "before", "timing")),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_line(tmp_path, changes, words):
    with pytest.raises(UserError, match=words) as error:
        read_experiment(str(file_of(tmp_path, **changes)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": [*SETTINGS, "stages.cooldown.fraction=0.7"]},
         r"run ordinary: .*stages overlap: their fractions add up to 1.2, not 1"),
        ({"settings": [*SETTINGS, "train.steps=4000"]},
         r"run ordinary, stage condition: the store is too small, it has \d+ documents for the "
         r"stage and would show each [\d.]+ times: give fewer train.steps"),
        ({"runs": RUNS | {"bad": ["metadata@stages.cooldown.metadata=mixd"]}},
         r"run bad: .*did you mean mixed\?"),
        ({"store": "/nowhere"}, r"/nowhere"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_be_is_one_line_before_anything_trains(
    tmp_path, tiny_store, changes, words
):
    path = file_of(tmp_path, **{"store": tiny_store} | changes)
    work = tmp_path / "work"
    found = CliRunner().invoke(command, [str(path), "--work", str(work)])
    assert isinstance(found.exception, UserError)
    with pytest.raises(UserError, match=words):
        raise found.exception
    assert "\n" not in str(found.exception)
    assert [p.name for p in work.iterdir() if p.suffix != ".lock"] in ([], [".lock"])


def test_a_file_of_one_s_own_writes_nothing_of_the_project(tmp_path, monkeypatch):
    """Whatever its name is."""
    own = FOLDER / "cooldown.yaml"
    monkeypatch.chdir(ROOT)
    for given in ("cooldown", "benchmarks/experiments/cooldown.yaml"):
        expected = own.with_suffix(".jsonl"), ROOT / "docs" / "experiments.md"
        assert places_of(given, "cooldown") == expected
    here = Path("cooldown.jsonl"), Path("cooldown.md")
    assert places_of(str(tmp_path / "cooldown.yaml"), "cooldown") == here
    assert places_of("mine.yml", "mine") == (Path("mine.jsonl"), Path("mine.md"))


def test_an_experiment_there_is_not_and_a_file_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"no experiment nothing: there is .*; or give a YAML file"):
        read_experiment("nothing")
    for text, words in (("a: [", "is not YAML"), ("- 1", "holds no settings")):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(UserError, match=words):
            read_experiment(str(tmp_path / "x.yaml"))


def marked(path):
    """What has results is looked at by make test-slow: it takes a second or two of each."""
    marks = pytest.mark.very_slow if path.with_suffix(".jsonl").exists() else ()
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [marked(path) for path in sorted(FOLDER.glob("*.yaml"))])
def test_the_experiments_of_the_project_are_valid(path, tmp_path, monkeypatch):
    name, experiment = read_experiment(path.stem)
    assert name == path.stem
    if experiment.before:  # as if it had been made
        (tmp_path / "sampling").mkdir()
        learnt = "by: continent\nweights: {Africa: 1, America: 1, Asia: 1, Europe: 1}\n"
        (tmp_path / "sampling" / "learnt.yaml").write_text(learnt)
        monkeypatch.setenv("GEO_NEMO_RECIPES", str(tmp_path))
        experiment = with_places(experiment, tmp_path, Path("/s"))
    runs = [load_run(experiment, each, Path("/s")) for each in experiment.runs]
    evaluation_config(experiment, Path("/s"))
    # One asks how many tokens, one compares runs of a size with the ordinary run of that size.
    if name in ("tokens_saved", "small_sizes"):
        return
    # Runs of one experiment take as many steps over as many tokens, so that they can be compared.
    assert len({(run.train.steps, run.train.global_batch_size, run.data.seq_length)
                for run in runs}) == 1  # fmt: skip


def test_recipes_that_are_made_before_have_names_for_the_runs(tmp_path, monkeypatch):
    """Runs are processes of their own, started by what was there before the recipes were."""
    processes = Processes(1)
    learnt = "by: continent\nweights: {Africa: 1, America: 2, Asia: 1, Europe: 1}\n"
    (tmp_path / "recipes/sampling").mkdir(parents=True)
    (tmp_path / "recipes/sampling/learnt.yaml").write_text(learnt)
    monkeypatch.setenv("GEO_NEMO_RECIPES", "")
    add_recipes(str(tmp_path / "recipes"))
    shown = ["recipes", "show", "experiment=demo", "sampling@stages.condition.sampling=learnt"]
    processes.run(shown, tmp_path / "log/log")
    assert "America: 2" in (tmp_path / "log/log").read_text()


@pytest.mark.very_slow
def test_what_is_made_before_is_made_once_and_anew_where_it_changes(tiny_store, tmp_path):
    made = ["synth", "output={before}/a b", "documents=1000"]
    runs = RUNS | {"told": ["init.checkpoint={before}/a b/x"]}
    store = TokenStore.open(tiny_store)

    def carry_out(**changes):
        values = content(tiny_store, before={"made": made}, runs=runs) | changes
        experiment = Experiment.model_validate(values)
        return prepared(experiment, tmp_path, store, Processes(1))

    folder = tmp_path / "before"
    found = carry_out()
    assert found.runs["told"][0] == f"init.checkpoint='{folder}/a b/x'"
    assert found.settings == tuple(SETTINGS)
    record = folder / "a b" / "synth.json"
    first = record.stat().st_mtime_ns
    carry_out()
    assert record.stat().st_mtime_ns == first
    carry_out(before={"made": [*made, "seed=7"]})
    assert json.loads(record.read_text())["config"]["seed"] == 7
    with pytest.raises(RunError, match="ended with 2: synth: unknown key sed; did you mean seed"):
        carry_out(before={"made": [*made, "sed=7"]})
    with pytest.raises(UserError, match=r"names what is made before, and the file has no before:"):
        carry_out(before={})


def test_runs_whose_first_stages_are_the_same_share_them(tiny_store, tmp_path):
    planned = planned_of(tiny_store, tmp_path)
    assert [(run.name, run.seed) for run in planned] == [
        (name, seed) for seed in (1, 2) for name in RUNS
    ]
    # Of each seed the mixed one begins as the told one does; the ordinary one does not.
    assert [run.branch for run in planned] == [
        None, None, Branch(1, 3), None, None, Branch(4, 3)
    ]  # fmt: skip
    assert planned[1].saves == {3} and planned[1].saved_every == 3
    assert [run.steps for run in planned[:3]] == [6, 6, 3]
    assert len({run.key for run in planned}) == 6


@pytest.mark.parametrize(
    ("saves", "every"),
    [({3}, 3), ({20}, 20), ({900}, 100), ({300, 450}, 75), ({397}, 397), ({394}, 197)],
)
def test_a_run_is_saved_where_others_branch_off_and_not_at_every_step(tmp_path, saves, every):
    run = Planned("a", 1, tmp_path, [], None, {}, saves=saves)
    assert run.saved_every == every and all(step % every == 0 for step in saves)


def test_other_fractions_another_rate_or_model_are_not_the_same_beginning(tiny_store, tmp_path):
    other = ["stages.condition.fraction=0.75", "stages.cooldown.fraction=0.25"]
    rows = ["stages.cooldown.metadata.meta_tokens=4"]  # of the vocabulary, from the first step on
    runs = {"a": [], "b": other, "c": ["train.lr=1e-3"], "d": ["model.num_layers=2"], "e": rows}
    claims = [CLAIM | {"of": ["b", "without"], "against": ["a", "without"]}]
    planned = planned_of(tiny_store, tmp_path, runs=runs, baseline=["a", "without"], claims=claims)
    assert [run.branch for run in planned] == [None] * 10


@pytest.mark.parametrize(
    "own",
    [
        [],
        ["stages.condition.steps=5", "stages.cooldown.steps=4"],
        ["stages.condition.tokens=4_000", "stages.cooldown.tokens=1_000"],
        ["average.kind=ema", "average.start=4"],
        ["logging.profile={start_step: 4}"],
        ["checkpoint.every_steps=6", "checkpoint.keep_best=1", "validation.every_steps=6"],
    ],
)
def test_what_is_timed_is_a_few_steps_of_the_run(tiny_store, tmp_path, own):
    planned = planned_of(tiny_store, tmp_path, settings=[*SETTINGS, *own])[0]
    timed = load_config("train", Run, short_settings(planned, 3, tmp_path / "timing"))
    assert (timed.train.steps, timed.output_dir) == (3, str(tmp_path / "timing"))
    assert timed.model == planned.run.model and timed.stages.keys() == planned.run.stages.keys()


@pytest.mark.very_slow
def test_steps_that_take_long_are_measured_for_so_long_and_no_longer(
    tiny_store, tmp_path, monkeypatch
):
    monkeypatch.setattr(timing, "ENOUGH_S", 1.0)
    settings = [*SETTINGS, "train.steps=5_000"]  # minutes
    experiment = Experiment.model_validate(
        content(tiny_store, settings=settings, timing_steps=5_000, max_epochs=1_000)
    )
    planned = planned_of(tiny_store, tmp_path, settings=settings, max_epochs=1_000)
    found = measure(experiment, planned, tiny_store, tmp_path / "work", Processes(2))
    (metrics,) = (tmp_path / "work").rglob("metrics.jsonl")
    steps = len(metrics.read_text().splitlines())
    assert 0 < steps < 5_000
    assert 0 < found.step < 60 and found.start > 0 and found.evaluation > 0


def fit(run):
    torch.use_deterministic_algorithms(True)
    try:
        made = trainer(run)
        assert made.fit()
    finally:
        torch.use_deterministic_algorithms(False)
    return made


def saving(run, every=3):
    checkpoint = run.checkpoint.model_copy(update={"every_steps": every, "keep_last": 9})
    return run.model_copy(update={"checkpoint": checkpoint})


def test_a_run_that_branched_off_is_the_run_itself_bit_for_bit(
    tiny_store, tmp_path, single_process
):
    _, told, mixed = planned_of(tiny_store, tmp_path / "shared")[:3]
    alone = planned_of(tiny_store, tmp_path / "alone")[2]
    assert alone.key == mixed.key
    fit(saving(told.run))
    kept = {p.name: p.read_bytes() for p in (told.folder / "checkpoints/step_00000003").iterdir()}
    branch(told, mixed, 3)
    one, other = fit(saving(mixed.run)), fit(saving(alone.run))
    pairs = zip(one.engine.module.parameters(), other.engine.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    ledgers = [(run.folder / "ledger.json").read_bytes() for run in (mixed, alone)]
    assert ledgers[0] == ledgers[1]
    # The other's checkpoint, whose files are linked, is as it was.
    left = {p.name: p.read_bytes() for p in (told.folder / "checkpoints/step_00000003").iterdir()}
    assert left == kept
    with pytest.raises(RunError, match="mixed, seed 1 differs from told, seed 1 before step 6"):
        branch(told, mixed, 6)
    damaged = told.folder / "checkpoints/step_00000003/.metadata"
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    fresh = planned_of(tiny_store, tmp_path / "fresh")[2]
    with pytest.raises(RunError, match=r"mixed, seed 1 branches off, is not whole: \.metadata"):
        branch(told, fresh, 3)


@pytest.mark.very_slow
def test_first_weights_are_of_what_a_run_is(tiny_store, tmp_path, single_process):
    """Runs that differ in them share nothing; those that have the same ones share their start."""
    source = planned_of(tiny_store, tmp_path / "source")[0]
    fit(saving(source.run))
    early, late = (f"init.checkpoint={source.folder}/checkpoints/step_{step:08}" for step in (3, 6))
    runs = {"a": [early], "b": [late], "c": [early, *RUNS["mixed"]]}
    claims = [CLAIM | {"of": ["b", "without"], "against": ["a", "without"]}]
    changes = {"runs": runs, "baseline": ["a", "without"], "claims": claims}
    first, other, mixed = planned_of(tiny_store, tmp_path / "w", **changes)[:3]
    assert (other.branch, mixed.branch) == (None, Branch(0, 3))
    assert len({first.key, other.key, mixed.key}) == 3
    fit(saving(first.run))
    branch(first, mixed, 3)
    fit(saving(mixed.run))  # which a training with init goes on from


@pytest.mark.very_slow
def test_a_folder_that_holds_a_run_of_other_settings_or_code_is_refused(
    tiny_store, tmp_path, single_process
):
    told = planned_of(tiny_store, tmp_path)[1]
    note_code([told], "c" * 40)
    check_standing([told], "d" * 40)  # nothing is trained yet
    note_code([told], "d" * 40)
    fit(saving(told.run))
    check_standing([told], "d" * 40)
    note_code([told], "e" * 40)  # what is trained stays of the code that trained it
    words = "holds a run of the commit dddddddddddd, and this code is of eeeeeeeeeeee: rename the"
    with pytest.raises(UserError, match=words):
        check_standing([told], "e" * 40)
    # The file was changed when the run was trained, and had no line of results yet.
    runs = RUNS | {"told": [*RUNS["told"], "train.lr=1e-3"]}
    changed = planned_of(tiny_store, tmp_path, runs=runs)[1]
    assert changed.folder == told.folder and changed.key != told.key
    words = r"holds a run of other settings than told, seed 1 has now \(train.lr\): rename the run"
    with pytest.raises(UserError, match=words):
        check_standing([changed], "d" * 40)
    (told.folder / CODE).unlink()  # as of before it was noted
    check_standing([told], "e" * 40)


def test_a_signal_that_comes_while_a_command_is_started_ends_it(tmp_path, monkeypatch):
    processes, popen, ends = Processes(1), subprocess.Popen, []

    def signalled(*arguments, **options):
        made = popen(*arguments, **options)
        ends.append(threading.Timer(30, made.kill))
        ends[0].start()
        processes.stop()
        return made

    monkeypatch.setattr(subprocess, "Popen", signalled)
    begin = time.monotonic()
    with pytest.raises(Stopped):  # the command would go on for ever
        processes.run(["status", str(tmp_path), "--watch", "60"], tmp_path / "log" / "log")
    ends[0].cancel()
    assert time.monotonic() - begin < 30


def test_the_time_of_a_part_that_was_stopped_counts(tmp_path):
    for _ in range(2):
        with pytest.raises(Stopped), counted(tmp_path, "train"):
            time.sleep(0.1)
            raise Stopped
    assert read_json(tmp_path / TIMES, "")["train"] >= 0.2


@pytest.mark.very_slow
def test_killed_and_started_again_it_ends_with_a_verdict(tiny_store, tmp_path):
    """The whole way, by the command: trains, branches, evaluates, writes; a kill loses no line."""
    runs = {name: RUNS[name] for name in ("told", "mixed")}
    claim = CLAIM | {"of": ["mixed", "without"], "against": ["told", "without"]}
    path = file_of(tmp_path, store=tiny_store, runs=runs, baseline=claim["against"], claims=[claim])
    arguments = [sys.executable, "-m", "benchmarks", "experiment", str(path), "--work",
                 str(tmp_path / "work"), "--results", str(tmp_path / "own.jsonl"), "--page",
                 str(tmp_path / "page.md"), "--at-once", "2"]  # fmt: skip
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    results = tmp_path / "own.jsonl"
    end = time.monotonic() + 300
    while not results.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.2)
    process.kill()
    told = process.communicate()[0]
    assert "own: 4 runs, 0 finished; 18 steps to train, 6 shared\nabout " in told
    before = results.read_text()
    assert 1 <= before.count("\n") < 4
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "about " in done.stdout and " finished; " in done.stdout
    assert results.read_text().startswith(before)
    lines = read_lines(results)
    assert sorted((x["run"], x["seed"]) for x in lines) == sorted(
        (name, seed) for name in runs for seed in (1, 2)
    )
    for each in lines:
        own = read_json(tmp_path / f"work/{each['run']}/seed-{each['seed']}/eval/eval.json", "")
        (cell,) = [c for c in own["perplexity"]["cells"] if c["group"] == "all"
                   and c["part"] == "body" and c["condition"] == "with"]  # fmt: skip
        assert each["nats"]["with"]["body"] == cell["nats"]
        assert each["branched_at"] == (3 if each["run"] == "mixed" else 0)
        assert each["machine"]["torch"] and each["seconds"]["eval"] > 0
    page = (tmp_path / "page.md").read_text()
    assert "**Is it?**" in page and "Expected: It is." in page
    assert "| as good (`mixed` without against `told` without) |" in page
    assert (tmp_path / "experiments" / "own.svg").read_text().startswith("<?xml")
