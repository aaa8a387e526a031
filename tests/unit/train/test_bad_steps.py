"""Steps that are not taken: raised, skipped or rewound, and the same after a resume."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geo_nemo.config import BadSteps, RunError, Train
from geo_nemo.data.batches import sequences_of, stack_sequences
from geo_nemo.train.bad_steps import check_spike
from geo_nemo.train.callbacks import Metrics
from geo_nemo.train.setup import prepare
from geo_nemo.train.step import BadStepError
from tests.support.runs import Events, trainer, weights
from tests.support.tiny import tiny_run

TRAIN = Train(steps=8, global_batch_size=8, micro_batch_size=2, lr=1e-3, min_lr=1e-4,
              warmup_steps=2)  # fmt: skip


def run_of(store, output, bad_steps, **changes):
    return tiny_run(store, output, train=TRAIN, bad_steps=bad_steps, **changes)


def refuse_once(made, bad):
    """Make the loss of step `bad` a spike the first time that it comes."""
    check, seen = made.bad.check, []

    def refuse(loss, step):
        if step == bad and not seen:
            seen.append(step)
            raise BadStepError(f"the loss spikes at step {step}")
        check(loss, step)

    made.bad.check = refuse


def test_a_spike_is_far_above_the_losses_before_it():
    settings = BadSteps(spike_sigma=3)
    losses = [2.0, 2.2, 2.0, 2.2, 2.0, 2.2, 2.0]
    check_spike(settings, losses, 99.0, 7)  # seven losses are too few to judge by
    losses.append(2.2)  # mean 2.1, standard deviation 0.1
    check_spike(settings, losses, 2.39, 8)
    with pytest.raises(BadStepError, match=r"spikes at step 8: 2.4100 after a mean of 2.1000"):
        check_spike(settings, losses, 2.41, 8)


def test_without_a_sigma_no_finite_loss_is_bad():
    check_spike(BadSteps(), [1.0] * 20, 1e30, 20)


def test_of_losses_the_last_ones_of_the_stage_are_the_measure(tiny_store, tmp_path, single_process):
    made = trainer(run_of(tiny_store, tmp_path, BadSteps(window=8)))
    for loss in range(9):
        made.bad.on_step(SimpleNamespace(report=SimpleNamespace(loss=float(loss))))
    assert list(made.bad.losses) == [float(loss) for loss in range(1, 9)]
    made.bad.on_stage(made.prepared.stages[1])
    assert not made.bad.losses


def test_sequences_come_out_of_a_batch_as_they_went_in(tiny_store, tmp_path):
    prepared = prepare(tiny_run(tiny_store, tmp_path), world_size=1)
    dataset = prepared.dataset(prepared.stages[0])
    sequences = [dataset[i] for i in range(3)]
    for before, after in zip(
        sequences, sequences_of(stack_sequences(sequences, [0, 1, 2])), strict=True
    ):
        for name, value in vars(before).items():
            assert np.array_equal(getattr(after, name), value), name


def test_a_skipped_step_changes_nothing_but_the_clock(tiny_store, tmp_path, single_process):
    made = trainer(run_of(tiny_store, tmp_path, BadSteps(policy="skip")))
    events, before = Events(), {}
    made.callbacks = [events]
    check = made.bad.check

    def refuse(loss, step):
        if step == 3:
            before.update(weights(made))
            before["clock"] = made.engine.schedule.num_steps
            raise BadStepError("spike")
        if step == 4:
            for name, weight in weights(made).items():
                assert torch.equal(weight, before[name]), name
            assert made.engine.schedule.num_steps == before["clock"] + 1
        check(loss, step)

    made.bad.check = refuse
    assert made.fit()
    assert [event.step for event in events.seen] == [0, 1, 2, 4, 5, 6, 7]
    assert made.left_out == {3}
    said = json.loads((tmp_path / "bad_steps.jsonl").read_text())
    assert said == {"step": 3, "stage": "condition", "reason": "spike", "action": "skip"}


def test_a_rewind_ends_as_a_run_that_left_the_batch_out(tiny_store, tmp_path, single_process):
    skipping = trainer(run_of(tiny_store, tmp_path / "skip", BadSteps(policy="skip")))
    refuse_once(skipping, 4)
    assert skipping.fit()

    rewinding = trainer(run_of(tiny_store, tmp_path / "rewind", BadSteps(policy="rewind")))
    groups, path = rewinding.prepared.groups, tmp_path / "rewind" / "metrics.jsonl"
    path.parent.mkdir()
    rewinding.callbacks = [Metrics(path, rewinding.run, groups, 640, rewinding.engine)]
    refuse_once(rewinding, 4)
    assert rewinding.fit()

    expected = weights(skipping)
    for name, weight in weights(rewinding).items():
        assert torch.equal(weight, expected[name]), name
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == [0, 1, 2, 3, 5, 6, 7]
    said = json.loads((tmp_path / "rewind" / "bad_steps.jsonl").read_text())
    assert (said["step"], said["action"]) == (4, "rewind")


def test_batches_before_the_bad_one_may_be_left_out_too(tiny_store, tmp_path, single_process):
    settings = BadSteps(policy="rewind", rewind_steps=1)
    made = trainer(run_of(tiny_store, tmp_path, settings))
    events = Events()
    made.callbacks = [events]
    refuse_once(made, 5)
    assert made.fit()
    assert [event.step for event in events.seen] == [0, 1, 2, 3, 4, 3, 6, 7]
    assert made.left_out == {4, 5}


def test_what_was_left_out_stays_out_after_a_resume(tiny_store, tmp_path, single_process):
    run = run_of(tiny_store, tmp_path, BadSteps(policy="skip", spike_sigma=50))
    first = trainer(run)
    refuse_once(first, 4)
    assert first.fit()
    (tmp_path / "checkpoints" / "step_00000008").rename(tmp_path / "away")
    again = trainer(run)
    again.resume()
    assert again.step == 6
    assert again.left_out == {4}
    # Stages are four steps each; losses of the first are no measure of the second.
    assert len(again.bad.losses) == 1
    assert again.fit()
    expected = weights(first)
    for name, weight in weights(again).items():
        assert torch.equal(weight, expected[name]), name


KEEP_ALL = {"every_steps": 3, "keep_last": 9}


def notes_of(folder) -> list[tuple[int, str]]:
    lines = (folder / "bad_steps.jsonl").read_text().splitlines()
    return [(note["step"], note["action"]) for note in map(json.loads, lines)]


def test_a_bad_step_that_no_checkpoint_knows_of_is_noted_once(tiny_store, tmp_path, single_process):
    """Killed before the next checkpoint, the run takes the step again, and finds it bad again."""
    run = run_of(tiny_store, tmp_path, BadSteps(policy="skip"), checkpoint=KEEP_ALL)
    first = trainer(run)
    refuse_once(first, 4)
    assert first.fit()
    for step in (6, 8):
        (tmp_path / "checkpoints" / f"step_{step:08d}").rename(tmp_path / f"away_{step}")
    again = trainer(run)
    refuse_once(again, 4)
    assert again.fit()
    assert notes_of(tmp_path) == [(4, "skip")]
    assert again.left_out == {4}


def test_a_step_that_a_resumed_run_finds_good_is_noted_no_more(
    tiny_store, tmp_path, single_process
):
    run = run_of(tiny_store, tmp_path, BadSteps(policy="skip"), checkpoint=KEEP_ALL)
    first = trainer(run)
    refuse_once(first, 1)
    check = first.bad.check

    def refuse(loss, step):
        if step == 4:
            raise BadStepError("spike")
        check(loss, step)

    first.bad.check = refuse
    assert first.fit()
    assert notes_of(tmp_path) == [(1, "skip"), (4, "skip")]
    for step in (6, 8):
        (tmp_path / "checkpoints" / f"step_{step:08d}").rename(tmp_path / f"away_{step}")
    again = trainer(run)
    assert again.fit()
    assert notes_of(tmp_path) == [(1, "skip")]


def test_a_step_that_is_still_to_be_left_out_stays_noted(tiny_store, tmp_path, single_process):
    """Wound back from step 5 to 3, saved at 4, killed: the step to leave out is still ahead."""
    run = run_of(
        tiny_store,
        tmp_path,
        BadSteps(policy="rewind"),
        checkpoint=KEEP_ALL | {"every_steps": 1, "async_save": False},
    )
    first = trainer(run)
    saved = tmp_path / "checkpoints"

    class Killed(Exception): ...

    def refuse(loss, step):
        if step == 5 and not first.bad.found:
            (saved / "step_00000005").rename(tmp_path / "away_5")
            (saved / "step_00000004").rename(tmp_path / "away_4")
            raise BadStepError("spike")
        if step == 4 and first.bad.found:
            raise Killed

    first.bad.check = refuse
    with pytest.raises(Killed):
        first.fit()
    again = trainer(run)
    assert again.fit()
    assert notes_of(tmp_path) == [(5, "rewind")]
    assert again.left_out == {5}


def test_the_batch_of_a_bad_step_is_kept_to_be_looked_at(tiny_store, tmp_path, single_process):
    made = trainer(run_of(tiny_store, tmp_path, BadSteps(spike_sigma=50)))
    refuse_once(made, 1)
    with pytest.raises(RunError, match=r"spikes at step 1; its batch is in .*step_00000001"):
        made.fit()
    folder = tmp_path / "bad_batches" / "step_00000001"
    with np.load(folder / "rank_00000.npz", allow_pickle=False) as arrays:
        assert arrays["sample_ids_0"].tolist() == [8, 9]
        assert arrays["tokens_3"].shape == (2, 128)
    page = (folder / "rank_00000.html").read_text()
    assert "micro-batch 3, sample 15" in page and 'class="trained"' in page


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_too_many_bad_steps_end_the_run(policy, tiny_store, tmp_path, single_process):
    made = trainer(
        run_of(
            tiny_store, tmp_path, BadSteps(policy=policy, limit=2), checkpoint={"every_steps": 1}
        )
    )

    def refuse(loss, step):
        if step >= 3:
            raise BadStepError(f"spike at step {step}")

    made.bad.check = refuse
    with pytest.raises(RunError, match=r"spike at step 5 \(2 were left out before, and bad"):
        made.fit()


def test_the_limit_is_of_the_run_and_not_of_each_start(tiny_store, tmp_path, single_process):
    """A job that is requeued at the end of its time would leave out as many again at each start."""
    settings = BadSteps(policy="skip", limit=2)
    run = run_of(tiny_store, tmp_path, settings, checkpoint=KEEP_ALL)
    first = trainer(run)

    def refuse(loss, step):
        if step in (1, 2):
            raise BadStepError(f"spike at step {step}")

    first.bad.check = refuse
    assert first.fit() and first.bad.found == 2
    for step in (6, 8):
        (tmp_path / "checkpoints" / f"step_{step:08d}").rename(tmp_path / f"away_{step}")
    again = trainer(run)
    refuse_once(again, 4)
    with pytest.raises(RunError, match=r"at step 4 \(2 were left out before, .* give a higher one"):
        again.fit()
    assert notes_of(tmp_path) == [(1, "skip"), (2, "skip"), (4, "raise")]
    # As it says.
    more = trainer(run_of(tiny_store, tmp_path, BadSteps(policy="skip", limit=3),
                          checkpoint=KEEP_ALL))  # fmt: skip
    refuse_once(more, 4)
    assert more.fit() and more.left_out == {1, 2, 4}


def test_a_rewind_before_the_first_checkpoint_ends_the_run(tiny_store, tmp_path, single_process):
    made = trainer(run_of(tiny_store, tmp_path, BadSteps(policy="rewind")))
    refuse_once(made, 1)
    with pytest.raises(RunError, match="spikes at step 1; its batch is in"):
        made.fit()
