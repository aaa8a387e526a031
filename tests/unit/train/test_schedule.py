"""Learning rates of every step, against Megatron-Core's scheduler and against values by hand."""

import pytest
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

from geo_nemo.config import MetadataPolicy, Stage, Train, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.rates import learning_rate
from geo_nemo.config.schema import Run
from geo_nemo.config.stage_bounds import stage_borders
from geo_nemo.config.stage_rate import StageRate
from geo_nemo.train.schedule import Schedule
from tests.support.runs import finished
from tests.support.tiny import tiny_run

TRAIN = Train(steps=40, global_batch_size=8, micro_batch_size=2, lr=1e-2, min_lr=1e-3,
              warmup_steps=5)  # fmt: skip


class Groups:
    """What a scheduler sees of an optimizer."""

    def __init__(self):
        self.param_groups = [{"lr_mult": 1.0, "wd_mult": 1.0}, {"lr_mult": 0.5, "wd_mult": 0.0}]


def staged(*pieces, fractions=(0.75, 0.25)):
    stages = {
        f"stage{i}": Stage(fraction=fraction, lr=piece, metadata=MetadataPolicy())
        for i, (piece, fraction) in enumerate(zip(pieces, fractions, strict=True))
    }
    return tiny_run("store", "out", train=TRAIN, stages=stages)


def megatron(**changes):
    """Rates of Megatron-Core's scheduler, step by step."""
    settings = {
        "init_lr": 0.0, "max_lr": 1e-2, "min_lr": 1e-3, "lr_warmup_steps": 5,
        "lr_decay_steps": 40, "lr_decay_style": "cosine", "start_wd": 0.1, "end_wd": 0.1,
        "wd_incr_steps": 40, "wd_incr_style": "constant",
    }  # fmt: skip
    scheduler = OptimizerParamScheduler(Groups(), **{**settings, **changes})
    rates = []
    for _ in range(40):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.step(1)
    return rates


def test_without_pieces_it_is_megatron_s_cosine():
    run = tiny_run("store", "out", train=TRAIN)
    rates = [learning_rate(run, step) for step in range(40)]
    assert rates == pytest.approx(megatron(), rel=1e-12)
    assert rates[0] == 0.0 and rates[5] == 1e-2


@pytest.mark.parametrize(
    ("shape", "theirs"), [("sqrt", "minus_sqrt"), ("linear", "linear"), ("cosine", "cosine")]
)
def test_warm_up_stable_decay_is_megatron_s(shape, theirs):
    run = staged(StageRate(shape="constant"), StageRate(shape=shape))
    expected = megatron(lr_decay_style="WSD", wsd_decay_steps=10, lr_wsd_decay_style=theirs)
    assert [learning_rate(run, s) for s in range(40)] == pytest.approx(expected, rel=1e-12)


def test_pieces_follow_each_other_without_a_jump():
    run = staged(
        StageRate(shape="linear", end=4e-3),
        StageRate(shape="constant"),
        StageRate(shape="linear", end=0.0),
        fractions=(0.5, 0.25, 0.25),
    )
    assert stage_borders(run) == [0, 20, 30, 40]
    assert learning_rate(run, 5) == 1e-2
    assert learning_rate(run, 20) == learning_rate(run, 29) == pytest.approx(4e-3)
    assert learning_rate(run, 35) == pytest.approx(2e-3)
    assert learning_rate(run, 40) == 0.0


def test_a_warm_up_longer_than_the_first_stage_goes_on_in_the_second():
    run = staged(StageRate(shape="constant"), StageRate(shape="linear"), fractions=(0.1, 0.9))
    assert [learning_rate(run, s) for s in (0, 4, 5)] == pytest.approx([0, 8e-3, 1e-2])
    assert learning_rate(run, 22) == pytest.approx(1e-3 + 9e-3 * 18 / 35)


def test_groups_have_their_multiples_and_the_clock_comes_back():
    run = tiny_run("store", "out", train=TRAIN)
    groups = Groups()
    schedule = Schedule(groups, run)
    schedule.step(12)
    first, second = groups.param_groups
    assert second["lr"] == first["lr"] / 2 == learning_rate(run, 12) / 2
    assert (first["weight_decay"], second["weight_decay"]) == (TRAIN.weight_decay, 0.0)
    other = Groups()
    again = Schedule(other, run)
    again.load_state_dict(schedule.state_dict())
    assert other.param_groups == groups.param_groups


def test_the_run_takes_these_rates(tiny_store, tmp_path, single_process):
    from tests.support.runs import Events

    events = Events()
    made = finished(tiny_store, tmp_path, [events])
    expected = [learning_rate(made.run, step) for step in range(6)]
    assert [event.report.lr for event in events.seen] == expected


def load(*overrides):
    return load_config("train", Run, ("data.store=s", "output_dir=o", *overrides))


def test_the_wsd_recipe_decays_in_the_cooldown_only():
    run = load("stages=wsd", "train.steps=1000", "train.warmup_steps=10")
    assert learning_rate(run, 10) == learning_rate(run, 799) == run.train.lr
    assert learning_rate(run, 801) < run.train.lr
    assert learning_rate(run, 1000) == pytest.approx(run.train.min_lr)


@pytest.mark.parametrize(
    ("key", "lengths"), [("steps", (3000, 600)), ("tokens", (3000 * 4_194_304, 2.5e9))]
)
def test_stages_may_be_told_in_steps_or_tokens(key, lengths):
    first, second = (int(length) for length in lengths)
    run = load(
        f"stages.condition.{key}={first}", f"stages.cooldown.{key}={second}",
        "stages.condition.fraction=null", "stages.cooldown.fraction=null",
    )  # fmt: skip
    steps = 600 if key == "steps" else -(-second // 4_194_304)
    assert run.train.steps == 3000 + steps
    assert stage_borders(run) == [0, 3000, 3000 + steps]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("stages.condition.steps=10",), "tell every length in the same way"),
        (("stages.condition.steps=9", "stages.cooldown.tokens=9"), "tell every length in the same"),
        (("stages.condition.lr={shape: constant}",), "give every stage an lr, or none"),
        (("stages.condition.lr={shape: constant, end: 0.1}",), "shape constant has no end"),
        (("stages.condition.lr={shape: step}",), "stages.condition.lr.shape='step'"),
        (("stages.condition.steps=-3", "stages.cooldown.steps=9"), "steps must be above 0"),
    ],
)
def test_mistakes_are_one_line(overrides, message):
    with pytest.raises(UserError) as caught:
        load(*overrides)
    assert message in str(caught.value) and "\n" not in str(caught.value)
