"""Between logging steps the host asks the device for nothing; what is bad is told a step later."""

import json
import signal
import threading

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from geo_nemo.config import BadSteps, Logging, RunError, Train
from geo_nemo.runtime.signals import StopRequest
from geo_nemo.train import arriving
from geo_nemo.train.build import build_trainer
from geo_nemo.train.callback import ReadsNothing, Verdict
from tests.support.runs import CPU, trainer, weights
from tests.support.tiny import tiny_run

TRAIN = Train(steps=12, global_batch_size=8, micro_batch_size=2, lr=1e-3, min_lr=1e-4,
              warmup_steps=2)  # fmt: skip
LOGGED = {4, 9, 11}  # each fifth step, and the last
ASKS = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__")
TOLIST = torch.Tensor.tolist
OPERATORS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")


def run_of(store, output, **changes):
    settings = {
        "train": TRAIN,
        "logging": Logging(every_steps=5),
        "checkpoint": {"every_steps": 99},
    }
    return tiny_run(store, output, **(settings | changes))


class Asks(TorchDispatchMode):
    """Counts what a CPU answers at once, and a GPU when all work before it is done, by step.

    steps: tells how many are done.
    """

    def __init__(self, monkeypatch, steps):
        super().__init__()
        self.steps, self.found = steps, []
        self.thread = threading.get_ident()
        for name in ASKS:
            self._count(monkeypatch, name)

    def _count(self, monkeypatch, name):
        asked = getattr(torch.Tensor, name)

        def counted(tensor, *args, **kwargs):
            self.note(name)
            return asked(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)

    def note(self, name):
        if threading.get_ident() == self.thread:  # the next batch is made in another
            self.found.append((self.steps(), name))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name in OPERATORS:
            self.note(func._schema.name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def arrivals(monkeypatch):
    """(step when they were sent, step when they were waited for), of numbers on their way."""
    seen = []

    class Sent(arriving.Arriving):
        steps = staticmethod(lambda: 0)

        def __init__(self, tensor):
            self.sent = Sent.steps()
            self.values = tensor.detach().clone()

        def numbers(self):
            seen.append((self.sent, Sent.steps()))
            return TOLIST(self.values)

    for module in ("step", "agreement"):
        monkeypatch.setattr(f"geo_nemo.train.{module}.Arriving", Sent)
    return Sent, seen


@pytest.mark.parametrize("clip", [1.0, 0.01])
def test_a_step_that_is_not_logged_asks_the_device_for_nothing(
    tiny_store, tmp_path, single_process, monkeypatch, arrivals, clip
):
    sent, seen = arrivals
    train = TRAIN.model_copy(update={"clip_grad": clip})
    made = build_trainer(run_of(tiny_store, tmp_path, train=train), device=CPU)
    sent.steps = staticmethod(lambda: made.step)
    with Asks(monkeypatch, lambda: made.step) as asks:
        assert made.fit()
    # A step is asked about while it is taken, or in its callbacks, when it is counted as done.
    # The stages' border is where the second one's documents are opened, on the host.
    quiet = set(range(1, 12)) - {step + 1 for step in LOGGED} - LOGGED
    assert [each for each in asks.found if each[0] in quiet] == []
    assert {step for step, _ in asks.found} >= {step + 1 for step in LOGGED}
    late = [(begun, read) for begun, read in seen if read in quiet]
    assert late and all(read > begun for begun, read in late)


def test_what_is_trained_is_the_same_whether_the_host_waits_or_not(
    tiny_store, tmp_path, single_process
):
    waiting = BadSteps(policy="skip")
    made = {}
    for name, rule in (("late", BadSteps()), ("waits", waiting)):
        made[name] = build_trainer(run_of(tiny_store, tmp_path / name, bad_steps=rule), device=CPU)
        assert made[name].fit()
    expected = weights(made["waits"])
    for name, weight in weights(made["late"]).items():
        assert torch.equal(weight, expected[name]), name
    keys = ("step", "loss", "grad_norm", "loss_by_country", "total_trained_tokens")
    logged = [
        [
            [json.loads(line)[key] for key in keys]
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in made
    ]
    assert logged[0] == logged[1]
    assert {line[0] for line in logged[0]} == LOGGED
    for each in made.values():
        assert len(each.bad.losses) == 6


class Poison(ReadsNothing):
    """Makes a weight bad after a step, without a look at any number."""

    def __init__(self, at_step):
        self.at_step, self.trainer, self.seen = at_step, None, []

    def on_start(self, step): ...

    def on_step(self, event):
        self.seen.append(event.step)
        if event.step == self.at_step:
            with torch.no_grad():
                self.trainer.engine.module.decoder.final_layernorm.weight[3] = float("nan")

    def on_end(self): ...


def poisoned(store, output, at_step, **changes):
    poison = Poison(at_step)
    poison.trainer = build_trainer(run_of(store, output, **changes), [poison], device=CPU)
    return poison


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_bad_step_is_named_a_step_later_and_its_batch_is_kept(
    tiny_store, tmp_path, single_process
):
    made = poisoned(tiny_store, tmp_path, at_step=5)
    expected = r"not finite at step 6, rank 0, micro-batch 0 .*; its batch is in .*step_00000006"
    with pytest.raises(RunError, match=expected):
        made.trainer.fit()
    assert made.seen == [0, 1, 2, 3, 4, 5, 6]  # 7 was under way
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [4]
    (note,) = lines(tmp_path / "bad_steps.jsonl")
    assert (note["step"], note["stage"], note["action"]) == (6, "cooldown", "raise")
    with (tmp_path / "bad_batches" / "step_00000006" / "rank_00000.npz").open("rb"):
        pass


def test_no_line_and_no_checkpoint_has_a_bad_step(tiny_store, tmp_path, single_process):
    for number, (bad, changes) in enumerate(
        [(9, {}), (7, {"checkpoint": {"every_steps": 8}}), (11, {})]
    ):
        output = tmp_path / str(number)
        made = poisoned(tiny_store, output, at_step=bad - 1, **changes)
        with pytest.raises(RunError, match=f"not finite at step {bad}, rank 0"):
            made.trainer.fit()
        assert all(line["step"] < bad for line in lines(output / "metrics.jsonl"))
        assert not (output / "checkpoints").exists()
        assert made.seen[-1] == bad - 1


def test_a_gradient_that_is_not_finite_is_named_later_with_what_names_its_micro_batch(
    tiny_store, tmp_path, single_process, monkeypatch
):
    made = poisoned(tiny_store, tmp_path, at_step=None)
    monkeypatch.setattr("geo_nemo.train.engine.squared_norm", lambda *_: torch.tensor(torch.inf))
    said = r"norm is inf at step 0, though the loss is finite; .*; with bad_steps.policy=skip the"
    with pytest.raises(RunError, match=said):
        made.trainer.fit()


def test_a_stop_is_heard_after_a_step_more_at_most_and_is_whole(
    tiny_store, tmp_path, single_process
):
    class Asked(Poison):
        def on_step(self, event):
            if event.step == 6:
                stop.received = signal.SIGTERM

    stop = StopRequest()
    asked = Asked(None)
    made = build_trainer(run_of(tiny_store, tmp_path / "a"), [asked], device=CPU, stop=stop)
    assert made.fit() is False
    assert made.step == 8
    again = build_trainer(run_of(tiny_store, tmp_path / "a"), device=CPU)
    assert again.fit()
    whole = trainer(run_of(tiny_store, tmp_path / "b"))
    assert whole.fit()
    expected = weights(whole)
    assert all(weight.equal(expected[name]) for name, weight in weights(again).items())


def test_a_verdict_of_a_callback_that_said_it_reads_nothing_is_one_line(
    tiny_store, tmp_path, single_process
):
    class Says(Poison):
        name = "says"

        def on_step(self, event):
            return Verdict("stop", "I say so") if event.step == 6 else None

    made = build_trainer(run_of(tiny_store, tmp_path), [Says(None)], device=CPU)
    with pytest.raises(RunError, match=r"says answers .* at step 6, where its method reads says"):
        made.fit()
