"""A run that goes on over a store with new documents, with its optimizer's state: docs/data.md."""

import json

import pytest
import torch

from data_prep.store_tools.merge import merge_stores
from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.config import Sampling, Stage, UserError
from geo_nemo.store import TokenStore
from geo_nemo.train.ledger import NAME
from geo_nemo.train.masters import masters
from tests.support.runs import Events, finished, trainer, weights
from tests.support.tiny import NO_METADATA, tiny_run

pytestmark = pytest.mark.usefixtures("single_process")
OLD, NEW = "2024-05", "2024-06"
STATE = ("exp_avg", "exp_avg_sq")


@pytest.fixture(scope="module")
def stores(tiny_store, tmp_path_factory):
    """The store that a run was trained on, new documents alone, and both together."""
    folder, whole = tmp_path_factory.mktemp("stores"), TokenStore.open(tiny_store)
    split, model = whole.split("train"), tiny_store / whole.manifest.tokenizer.file
    for name, rows in ((OLD, range(250)), (NEW, range(250, 400))):
        (folder / name).mkdir()
        writer = StoreWriter(folder / name, whole.tokenizer(), model, whole.countries,
                             whole.continent_of, 100)  # fmt: skip
        records = [split.record(i) for i in rows]
        writer.add(
            "train",
            [StoreDocument(r.host, r.country, r.path, int(split.content_hash[i]), source=name,
                           fields={"month": name}) for i, r in zip(rows, records, strict=True)],
            [split.title(i).tolist() for i in rows],
            [split.body(i).tolist() for i in rows],
        )  # fmt: skip
        writer.finish({}, [])
    merge_stores([folder / OLD, folder / NEW], folder / "both")
    return folder


@pytest.fixture(scope="module")
def base(stores, tmp_path_factory, single_process):
    """A finished run on the old store, and its folder."""
    folder = tmp_path_factory.mktemp("base")
    return finished(stores / OLD, folder), folder


def stage(**sampling):
    return {"more": Stage(fraction=1.0, metadata=NO_METADATA, sampling=Sampling(**sampling))}


def stepped(made):
    """What the optimizer keeps of each parameter: weight, both moments, steps, weight decay."""
    found = []
    for optimizer in made.engine.optimizer.chained_optimizers:
        inner = optimizer.optimizer
        for group in inner.param_groups:
            for parameter in group["params"]:
                state = inner.state[parameter]
                both = [state.get(name, torch.zeros_like(parameter)).clone() for name in STATE]
                steps = int(state.get("step", group.get("step")) or 0)
                weight = parameter.detach().double().clone()
                found.append((weight, *both, steps, group["weight_decay"]))
    return found


def moments(made):
    """Moments and steps of every parameter, one after another."""
    return [torch.as_tensor(each) for state in stepped(made) for each in state[1:4]]


def begun(store, output, folder, **changes):
    init = {"checkpoint": str(folder), "optimizer": True, **changes.pop("init", {})}
    made = trainer(tiny_run(store, output, stages=stage(), init=init, **changes))
    made.resume()
    return made


def same(these, those):
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


def test_weights_and_moments_are_those_of_the_run_and_the_schedule_is_new(base, stores, tmp_path):
    old, folder = base
    made = begun(stores / "both", tmp_path / "more", folder)
    assert same(weights(made).values(), weights(old).values())
    assert same([m.values for m in masters(made.engine)], [m.values for m in masters(old.engine)])
    assert len(moments(old)) == 3 * len(list(old.engine.parameters()))
    assert same(moments(made), moments(old))
    assert made.step == 0 and made.engine.schedule.num_steps == 0


def test_settings_of_the_optimizer_are_the_new_runs(base, stores, tmp_path):
    _, folder = base
    train = tiny_run(stores / OLD, tmp_path).train.model_copy(
        update={"adam_beta2": 0.9, "weight_decay": 0.5, "lr": 2e-3}
    )
    made = begun(stores / "both", tmp_path / "more", folder, train=train)
    groups = made.engine.optimizer.param_groups
    assert {group["betas"] for group in groups} == {(0.9, 0.9)}
    assert max(group["weight_decay"] for group in groups) in (0.5, 1.0)


def test_the_first_step_is_adams_with_these_moments(base, stores, tmp_path):
    """An oracle in double precision: the update of one more step from the state that was saved."""
    _, folder = base
    seen = {}

    class First(Events):
        def on_start(self, step):
            seen["before"] = stepped(made)

        def on_step(self, event):
            if event.step == 0:
                seen["after"], seen["lr"] = stepped(made), event.report.lr

    init = {"checkpoint": str(folder), "optimizer": True}
    made = trainer(tiny_run(stores / NEW, tmp_path / "more", stages=stage(), init=init), [First()])
    made.fit()
    settings, lr = made.run.train, seen["lr"]
    b1, b2 = settings.adam_beta1, settings.adam_beta2
    for (w0, m0, v0, n, decay), (w1, m1, v1, steps, _) in zip(
        seen["before"], seen["after"], strict=True
    ):
        assert (n, steps) == (6, 7)
        # What the first moment moved by is the gradient; the second must have seen the same.
        gradient = (m1.double() - b1 * m0.double()) / (1 - b1)
        expected = b2 * v0.double() + (1 - b2) * gradient**2
        torch.testing.assert_close(v1.double(), expected, rtol=1e-3, atol=1e-12)
        mean, root = m1.double() / (1 - b1**steps), (v1.double() / (1 - b2**steps)).sqrt()
        update = lr * mean / (root + settings.adam_eps)
        torch.testing.assert_close(w1, w0 * (1 - lr * decay) - update, rtol=1e-5, atol=1e-7)


def test_accounting_knows_both_stores(base, stores, tmp_path):
    _, folder = base
    output = tmp_path / "more"
    made = finished(
        stores / "both",
        output,
        stages=stage(by="source", weights={OLD: 0.3, NEW: 0.7}),
        init={"checkpoint": str(folder), "optimizer": True},
        groups=("month",),
    )
    ledger = json.loads((output / NAME).read_text())
    (entry,) = ledger["before"]
    assert (entry["run"], entry["step"]) == ("tiny", 6)
    assert entry["store"] == TokenStore.open(stores / OLD).hash
    assert ledger["store"] == TokenStore.open(stores / "both").hash
    assert entry["stages"] == json.loads((folder / NAME).read_text())["stages"]
    months = ledger["stages"]["more"]["trained"]["by_month"]
    tokens = {month: months[month]["text_tokens"] for month in (OLD, NEW)}
    # Of the text in the store the new documents have three eighths.
    assert 0.6 < tokens[NEW] / sum(tokens.values()) < 0.9
    # Another run from this one has both before it, in their order.
    third = begun(stores / NEW, tmp_path / "third", output)
    assert [each["run"] for each in third.ledger.before] == ["tiny", "tiny"]
    assert [each["store"] for each in third.ledger.before] == [entry["store"], ledger["store"]]
    assert made.outcome == "finished"


def test_resumed_it_is_as_if_it_had_not_been_stopped(base, stores, tmp_path):
    _, folder = base
    init = {"checkpoint": str(folder), "optimizer": True}
    whole = finished(stores / "both", tmp_path / "whole", stages=stage(), init=init)
    run = tiny_run(stores / "both", tmp_path / "cut", stages=stage(), init=init)

    class StopAt:
        def __init__(self):
            self.steps = 0

        def __bool__(self):
            self.steps += 1
            return self.steps == 4

    assert not trainer(run, stop=StopAt()).fit()
    again = trainer(run)
    assert again.fit()
    assert same(weights(again).values(), weights(whole).values())
    assert same(moments(again), moments(whole))
    assert again.ledger.before == whole.ledger.before != []


def test_weights_alone_begin_with_no_moments(base, stores, tmp_path):
    old, folder = base
    made = begun(stores / "both", tmp_path / "more", folder, init={"optimizer": False})
    assert same(weights(made).values(), weights(old).values())
    assert not any(float(each.abs().sum()) for each in moments(made) if each.ndim)
    kept = begun(stores / "both", tmp_path / "kept", folder)
    assert made.prepared.fingerprint["init"] + " optimizer" == kept.prepared.fingerprint["init"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parallel": {"distributed_optimizer": False}}, "parallel.distributed_optimizer=true"),
        ({"init": {"weights": "average"}}, "init.optimizer=true goes with init.weights=trained"),
    ],
)
def test_state_that_cannot_be_taken_is_one_line(base, stores, tmp_path, changes, said):
    _, folder = base
    with pytest.raises((UserError, ValueError), match=said):
        begun(stores / "both", tmp_path / "more", folder, **changes)
