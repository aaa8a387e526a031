"""Callbacks from outside: named in a recipe, with options, state, verdicts, and what they break."""

import json
import sys
from types import SimpleNamespace

import pytest

from geo_nemo.config import MetadataPolicy, RunError, Stage, UserError
from geo_nemo.config.parallel import StageParallel
from geo_nemo.train.build import build_trainer
from geo_nemo.train.callback import Verdict
from geo_nemo.train.callbacks import Loggers, health
from geo_nemo.train.run_record import RunRecord, earlier_sessions
from geo_nemo.train.setup import prepare
from tests.support.runs import CPU, Events, trainer, weights
from tests.support.tiny import NO_METADATA, tiny_run
from tests.unit.train.loggers.conftest import module_at

OWN = '''
from geo_nemo.train.callback import Verdict


class Counts:
    """Counts steps over all sessions, and logs twice their number."""

    def __init__(self, context, by=1):
        self.context, self.by, self.steps = context, by, 0

    def on_start(self, step): ...

    def on_step(self, event):
        self.steps += self.by
        self.context.log({"counted": 2 * self.steps})

    def on_end(self):
        (self.context.output / "counted.txt").write_text(str(self.steps))

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state.get("steps", 0)


class Bare:
    def __init__(self, context): ...
    def on_start(self, step): ...
    def on_end(self): ...


class Raises(Counts):
    def on_step(self, event):
        if event.step == 4:
            raise ZeroDivisionError("oh")


class Says(Counts):
    def __init__(self, context, what, at, where="on_step"):
        super().__init__(context)
        self.what, self.at, self.where = what, at, where

    def on_loss(self, step, loss):
        if self.where == "on_loss" and step == self.at:
            return Verdict(self.what, "I say so")

    def on_step(self, event):
        if self.where == "on_step" and event.step == self.at:
            return Verdict(self.what, "I say so") if self.what != "yes" else True


class Does(Counts):
    """`does` is run after step 4, `keeps` gives its state, `measures` its score."""

    def __init__(self, context, does="None", keeps="{}", measures="None"):
        super().__init__(context)
        self.does, self.keeps, self.measures = does, keeps, measures

    def on_step(self, event):
        if event.step == 4:
            return eval(self.does, globals() | {"context": self.context})

    def state_dict(self):
        return eval(self.keeps)

    def score(self, step):
        return eval(self.measures)
'''


@pytest.fixture(autouse=True)
def own(tmp_path_factory, monkeypatch):
    module_at(tmp_path_factory.mktemp("own"), monkeypatch, "own_callbacks", OWN)
    yield
    sys.modules.pop("own_callbacks", None)


def built(store, output, *names, options=None, **changes):
    asked = {"use": [f"own_callbacks:{name}" for name in names]}
    asked["options"] = {f"own_callbacks:{k}": v for k, v in (options or {}).items()}
    return build_trainer(tiny_run(store, output, callbacks=asked, **changes), device=CPU)


def steps_of(output):
    return [
        json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()
    ]


def test_a_trainer_is_built_with_all_that_the_command_watches_by(
    tiny_store, tmp_path, single_process
):
    events = Events()
    made = build_trainer(tiny_run(tiny_store, tmp_path), [events], device=CPU)
    assert made.fit()
    assert [event.step for event in events.seen] == steps_of(tmp_path) == [0, 1, 2, 3, 4, 5]
    assert json.loads((tmp_path / "run.json").read_text())["name"] == "tiny"
    assert json.loads((tmp_path / "heartbeat.json").read_text())["step"] == 6
    assert json.loads((tmp_path / "ledger.json").read_text())["step"] == 6


def test_a_heartbeat_that_cannot_be_written_ends_no_run(
    tmp_path, single_process, monkeypatch, capsys
):
    """As where a file system is away for a moment; it is said once, until it is back."""
    path = tmp_path / "heartbeat.json"
    beat = health.Heartbeat(path, every_s=0.0, steps=9)
    beat.on_start(0)

    def refuse(path, content):
        raise UserError(f"cannot write {path}: Stale file handle")

    def step(number):
        beat.on_step(SimpleNamespace(step=number, stage=SimpleNamespace(name="a"), latest_loss=2.0))

    with monkeypatch.context() as away:
        away.setattr(health, "write_whole", refuse)
        step(0)
        step(1)
    said = capsys.readouterr().err
    assert said.count("heartbeat.json: Stale file handle; the run goes on") == 1
    step(2)
    assert json.loads(path.read_text())["step"] == 3


def test_a_rewind_is_no_session_of_its_own(tiny_store, tmp_path):
    prepared = prepare(tiny_run(tiny_store, tmp_path), world_size=1)
    record = RunRecord(prepared, 1)
    record.on_start(0)
    record.on_start(3)
    assert len(earlier_sessions(tmp_path)) == 1
    RunRecord(prepared, 1).on_start(3)
    assert len(earlier_sessions(tmp_path)) == 2


def test_a_callback_of_the_recipe_has_options_and_state_over_a_resume(
    tiny_store, tmp_path, single_process
):
    made = built(tiny_store, tmp_path, "Counts", options={"Counts": {"by": 10}})
    assert made.fit()
    assert (tmp_path / "counted.txt").read_text() == "60"
    for name in ("latest", "step_00000006"):
        (tmp_path / "checkpoints" / name).rename(tmp_path / f"away_{name}")
    assert built(tiny_store, tmp_path, "Counts", options={"Counts": {"by": 1}}).fit()
    assert (tmp_path / "counted.txt").read_text() == "33"  # 30 of the checkpoint, then 3


def test_a_callback_changes_no_weight_and_may_come_and_go(
    tiny_store, tmp_path, single_process, capsys
):
    plain, own = trainer(tiny_run(tiny_store, tmp_path / "a")), tmp_path / "b"
    assert plain.fit()
    assert built(tiny_store, own, "Counts").fit()
    (own / "checkpoints" / "step_00000006").rename(tmp_path / "away")
    capsys.readouterr()
    without = built(tiny_store, own)
    assert without.fit()
    said = capsys.readouterr().err
    assert "step_00000003 has a state of own_callbacks:Counts, a callback that this run" in said
    expected = weights(plain)
    assert all(weight.equal(expected[name]) for name, weight in weights(without).items())
    (own / "checkpoints" / "step_00000006").rename(tmp_path / "away_too")
    assert built(tiny_store, own, "Counts").fit()  # new to this checkpoint, or known: it goes on
    assert (own / "counted.txt").read_text() == "6"


def test_a_verdict_before_the_step_leaves_its_batch_out(tiny_store, tmp_path, single_process):
    says = {"Says": {"what": "skip", "at": 4, "where": "on_loss"}}
    made = built(tiny_store, tmp_path, "Says", options=says)
    assert made.fit()
    assert steps_of(tmp_path) == [0, 1, 2, 3, 5]
    assert made.left_out == {4}
    note = json.loads((tmp_path / "bad_steps.jsonl").read_text())
    assert (note["step"], note["reason"], note["action"]) == (4, "I say so", "skip")


@pytest.mark.parametrize("where", ["on_loss", "on_step"])
def test_a_verdict_winds_the_run_back(tiny_store, tmp_path, single_process, where):
    says = {"Says": {"what": "rewind", "at": 4, "where": where}}
    made = built(tiny_store, tmp_path / "rewind", "Says", options=says)
    assert made.fit()
    assert steps_of(tmp_path / "rewind") == [0, 1, 2, 3, 5]
    skipping = built(
        tiny_store, tmp_path / "skip", "Says",
        options={"Says": {"what": "skip", "at": 4, "where": "on_loss"}},
    )  # fmt: skip
    assert skipping.fit()
    expected = weights(skipping)
    assert all(weight.equal(expected[name]) for name, weight in weights(made).items())
    (note,) = json.loads((tmp_path / "rewind" / "ledger.json").read_text())["notes"]
    assert (note["step"], note["back_to_step"], note["left_out"]) == (4, 3, [4])


def test_a_verdict_stops_the_run_where_it_stands(tiny_store, tmp_path, single_process):
    made = built(tiny_store, tmp_path, "Says", options={"Says": {"what": "stop", "at": 3}})
    assert made.fit() is False
    assert (made.step, made.outcome, made.reason) == (4, "stopped", "I say so")
    assert (tmp_path / "checkpoints" / "step_00000004").is_dir()
    assert built(tiny_store, tmp_path).fit()
    assert steps_of(tmp_path) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "Raises",
            {},
            r"the callback own_callbacks:Raises, at step 4, fails \(ZeroDivisionError: oh\): ",
        ),
        ("Says", {"what": "skip", "at": 2}, r"Says answers Verdict.*at step 2: give None, or"),
        ("Says", {"what": "yes", "at": 2}, r"Says answers True at step 2: give None, or a"),
        ("Says", {"what": "stop", "at": 2, "where": "on_loss"}, r"^I say so; its batch is in"),
    ],
)
def test_what_a_callback_breaks_is_one_line_and_nothing_is_lost(
    tiny_store, tmp_path, single_process, name, options, message
):
    made = built(tiny_store, tmp_path, name, options={name: options} if options else None)
    with pytest.raises(RunError, match=message):
        made.fit()
    assert built(tiny_store, tmp_path).fit()
    assert steps_of(tmp_path) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        # Ended so, a run would pass for one that is finished.
        ({"does": "exit(0)"}, r"at step 4, fails \(SystemExit: 0\): mend it or take it out of"),
        ({"does": "Verdict('stop', None)"}, r"ValueError: a verdict with the reason None: say why"),
        ({"does": "Verdict('halt', 'x')"}, r"a verdict of 'halt', not of skip, rewind or stop"),
        (
            {"does": "Verdict('rewind', 'x', ('a',))"},
            r"a verdict that leaves out \('a',\): steps are whole numbers from 0",
        ),
        ({"does": "context.log({'x': 'y'})"}, r"TypeError: it logs 'x'='y': give a number by a n"),
        ({"does": "context.log({3: 1.0})"}, r"TypeError: it logs 3=1.0: give a number by a name"),
        ({"does": "context.log({'loss': 0})"}, r"it logs loss, which is a number of the run: ren"),
        ({"does": "context.log(None)"}, r"own_callbacks:Does, at step 4, fails \(AttributeError"),
        ({"keeps": "[1]"}, r"^the callback own_callbacks:Does keeps a list: let its state_dict gi"),
        ({"keeps": "{'a': [object()]}"}, r"own_callbacks:Does keeps a object: let its state_dict"),
        ({"keeps": "{'a': {1: 2}}"}, r"own_callbacks:Does keeps a dict with the key 1: let its s"),
        ({"keeps": "1 / 0"}, r"own_callbacks:Does, at step 2, fails \(ZeroDivisionError"),
        ({"measures": "float('nan')"}, r"Does, at step 2, fails \(ValueError: its score is not a"),
        ({"measures": "'good'"}, r"own_callbacks:Does, at step 2, fails \(ValueError: could not"),
    ],
)
def test_nonsense_of_a_callback_is_one_line_that_names_it(
    tiny_store, tmp_path, single_process, options, message
):
    made = built(tiny_store, tmp_path, "Does", options={"Does": options})
    with pytest.raises(RunError, match=message) as caught:
        made.fit()
    assert "own_callbacks:Does" in str(caught.value) and "\n" not in str(caught.value)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))
    assert kept == ([] if "at step 2" in message or "keeps" in message else ["step_00000003"])


def test_numbers_of_one_callback_are_not_those_of_another(tmp_path):
    loggers = Loggers()
    loggers.add_for("first", {"a": 1})
    loggers.add_for("first", {"a": 2})
    with pytest.raises(ValueError, match="it logs a, which is a number of first: rename it"):
        loggers.add_for("second", {"a": 1})


def test_each_is_told_of_the_end_and_the_first_error_is_the_one_that_is_raised(
    tiny_store, tmp_path, single_process
):
    class Fails(Events):
        def on_end(self):
            raise KeyError("at the end")

    class Late(Events):
        def on_step(self, event):
            raise ValueError("in a step")

    last = Events()
    last.on_end = lambda: last.seen.append("end")
    with pytest.raises(ValueError, match="in a step"):
        trainer(tiny_run(tiny_store, tmp_path / "a"), [Fails(), Late(), last]).fit()
    assert last.seen == ["end"]
    with pytest.raises(KeyError, match="at the end"):
        trainer(tiny_run(tiny_store, tmp_path / "b"), [Fails(), last]).fit()
    assert last.seen[-1] == "end"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"use": ["no_such_module:A"]}, r"callbacks.use: no_such_module:A does not import \(Modul"),
        ({"use": ["own_callbacks:Count"]}, r"no attribute 'Count'; name the class as module:attr"),
        ({"use": ["own_callbacks:Bare"]}, r"own_callbacks:Bare has no method on_step"),
        ({"use": ["early_stop"]}, r"early_stop is not a callback; there is none by name, or modu"),
        (
            {"use": ["own_callbacks:Counts"], "options": {"own_callbacks:Counts": {"to": 1}}},
            r"own_callbacks:Counts: TypeError: .*unexpected keyword argument 'to'",
        ),
    ],
)
def test_a_callback_that_is_none_is_one_line_before_a_step(
    tiny_store, tmp_path, single_process, asked, message
):
    with pytest.raises(UserError, match=message):
        build_trainer(tiny_run(tiny_store, tmp_path, callbacks=asked), device=CPU)


def test_two_callbacks_of_one_name_are_refused(tiny_store, tmp_path, single_process):
    class Named(Events):
        name = "mine"

        def state_dict(self):
            return {}

        def load_state_dict(self, state): ...

    with pytest.raises(UserError, match="two callbacks are named mine"):
        trainer(tiny_run(tiny_store, tmp_path), [Named(), Named()]).fit()


@pytest.mark.parametrize("stops", [True, False])
def test_a_stop_at_a_border_between_layouts_is_no_border_alone(
    tiny_store, tmp_path, single_process, stops
):
    """A job would be requeued, and train the stage that the callback did not want."""

    class Stops(Events):
        def on_step(self, event):
            return Verdict("stop", "enough") if stops and event.step == 2 else None

    stages = {
        "one": Stage(fraction=0.5, metadata=MetadataPolicy()),
        "two": Stage(fraction=0.5, metadata=NO_METADATA, parallel=StageParallel(recompute="full")),
    }
    made = trainer(tiny_run(tiny_store, tmp_path, stages=stages), [Stops()])
    assert made.fit() is False
    assert (made.step, made.outcome) == (3, "stopped")
    told = "enough", ""
    assert (made.reason, made.boundary) == (
        told if stops else ("", "stage two has another parallel layout")
    )
    assert (made.directory / "step_00000003" / "geo_nemo.json").exists()


def test_a_verdict_is_plain_and_its_reason_one_line():
    assert Verdict("stop", "done\n for now") == Verdict("stop", "done for now", ())


def test_what_a_verdict_leaves_out_are_steps_that_come_again(tiny_store, tmp_path, single_process):
    """Step 1 is in the weights of the checkpoint of step 3, and the ledger does not deny it."""
    verdict = {"does": "Verdict('rewind', 'x', (1, 5, 10**12))"}
    made = built(tiny_store, tmp_path, "Does", options={"Does": verdict})
    assert made.fit()
    assert made.left_out == {4, 5}
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["stages"]["condition"]["left_out"]["rows"] == 0
    assert ledger["notes"][0]["left_out"] == [4, 5]
