"""A stage that replays: its share, its documents, its accounting, and a stop in its middle."""

import json

import numpy as np
import pytest

from geo_nemo.cli.plan_tables import print_plan
from geo_nemo.config import MetadataPolicy, Stage, Train, UserError
from geo_nemo.config.replay import Replay
from geo_nemo.data.batches import BatchStream, sequences_of
from geo_nemo.data.index.read import LEDGER
from geo_nemo.data.stage import build_stage_index
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.train.ledger import REPLAYED
from geo_nemo.train.plan import Assumptions, Replayed, plan_prepared
from geo_nemo.train.setup import prepare
from tests.support.runs import assert_same_weights, deterministic
from tests.support.tiny import NO_METADATA, tiny_run

STEPS, STOP, BATCH = 8, 6, 8
FRACTION = 0.375
TRAIN = Train(steps=STEPS, global_batch_size=BATCH, micro_batch_size=2, lr=1e-3, min_lr=1e-4,
              warmup_steps=2)  # fmt: skip


def stages_of(replay):
    return {
        "condition": Stage(fraction=0.5, metadata=MetadataPolicy()),
        "cooldown": Stage(fraction=0.5, metadata=NO_METADATA, replay=replay),
    }


REPLAY = Replay(fraction=FRACTION)


def run_of(store, output, replay=REPLAY, **changes):
    settings = {"train": TRAIN, "stages": stages_of(replay), "checkpoint": {"every_steps": 3}}
    return tiny_run(store, output, **settings | changes)


@pytest.fixture(scope="module")
def whole(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("replay")
    return output, *deterministic(run_of(tiny_store, output))


def documents_of(dataset):
    return [{f.document for f in dataset.fragments(i)} for i in range(len(dataset))]


def test_a_share_of_the_sequences_holds_what_the_first_stage_has_read(whole):
    _, made, _ = whole
    first, second = (documents_of(made.prepared.dataset(s)) for s in made.prepared.stages)
    read = set.union(*first)
    replayed = [documents <= read for documents in second]
    assert [not documents & read for documents in second] == [not each for each in replayed]
    # Three of every eight, by hand: where floor(n * 3 / 8) rises.
    assert replayed == [False, False, True, False, False, True, False, True] * 4


def test_what_is_replayed_is_told_as_its_stage_tells(whole):
    _, _, events = whole
    batches = [batch for event in events[4:] for batch in event.batches]
    assert not any((batch.label_kinds == Kind.METADATA).any() for batch in batches)


def test_accounting_is_that_of_a_walk(whole):
    output, made, events = whole
    read = set.union(*documents_of(made.prepared.dataset(made.prepared.stages[0])))
    dataset = made.prepared.dataset(made.prepared.stages[1])
    found = {"all": dict.fromkeys(REPLAYED, 0), "replayed": dict.fromkeys(REPLAYED, 0)}
    for event in events[4:]:
        for batch in event.batches:
            pairs = zip(batch.sample_ids.tolist(), sequences_of(batch), strict=True)
            for number, sequence in pairs:
                kinds = sequence.label_kinds[sequence.group_ids >= 0]
                again = {f.document for f in dataset.fragments(number)} <= read
                for sums in [found["all"]] + [found["replayed"]] * again:
                    sums["rows"] += 1
                    sums["positions"] += len(kinds)
                    sums["text_tokens"] += int(np.isin(kinds, [Kind.TITLE, Kind.BODY]).sum())
                    sums["documents"] += sum(f.start == 0 for f in dataset.fragments(number))
    stages = json.loads((output / "ledger.json").read_text())["stages"]
    trained = stages["cooldown"]["trained"]
    assert {key: trained[key] for key in REPLAYED} == found["all"]
    assert trained["replayed"] == found["replayed"]
    assert trained["replayed"]["rows"] == 12
    assert sum(c["documents"] for c in trained["by_country"].values()) == trained["documents"]
    assert "replayed" not in stages["condition"]["trained"]
    assert set(trained["templates"]["localization without"]) == set(LEDGER)


def test_stopped_in_its_middle_it_goes_on_bit_for_bit(whole, tiny_store, tmp_path):
    output, made, events = whole
    deterministic(run_of(tiny_store, tmp_path), stop=STOP)
    resumed, later = deterministic(run_of(tiny_store, tmp_path))
    assert [event.step for event in later] == [STOP, STOP + 1]
    for event, expected in zip(later, events[STOP:], strict=True):
        for batch, other in zip(event.batches, expected.batches, strict=True):
            assert np.array_equal(batch.tokens, other.tokens)
        assert event.report.loss == expected.report.loss
    assert_same_weights(made, resumed)
    assert (tmp_path / "ledger.json").read_bytes() == (output / "ledger.json").read_bytes()


def test_ranks_of_any_number_take_the_same_sequences(whole):
    _, made, _ = whole
    dataset = made.prepared.dataset(made.prepared.stages[1])

    def steps(ranks, consumed):
        streams = [BatchStream(dataset, BATCH, 1, r, ranks, consumed) for r in range(ranks)]
        for together in zip(*streams, strict=True):
            micro = zip(*together, strict=True)  # micro-batch m of every rank
            yield np.concatenate([batch.tokens for ranks_ in micro for batch in ranks_])

    whole_steps = list(steps(1, 0))
    again = [*list(steps(2, 0))[:2], *list(steps(4, 2 * BATCH))]
    assert len(whole_steps) == len(again) == 4
    for one, other in zip(whole_steps, again, strict=True):
        assert np.array_equal(one, other)


def test_a_plan_says_what_is_replayed(tiny_store, tmp_path, capsys):
    run = run_of(tiny_store, tmp_path / "out")
    condition, cooldown = plan_prepared(prepare(run, 1), 1, Assumptions()).stages
    # Half of 8 steps of 8 sequences; 3 in 8 of these.
    assert (condition.replayed, cooldown.replayed) == (None, Replayed(12, 32, ("condition",)))
    print_plan(plan_prepared(prepare(run, 1), 1, Assumptions()))
    told = " ".join(capsys.readouterr().out.split())
    assert "Stage cooldown replays 12 of its 32 sequences (37.5%) from condition" in told


def test_documents_are_found_in_the_sequences_that_hold_them(whole):
    _, made, _ = whole
    dataset = made.prepared.dataset(made.prepared.stages[1])
    held = documents_of(dataset)
    wanted = np.array(sorted(set.union(*held)))[::3]
    documents, places = dataset.index.sequences_with(wanted, len(held))
    expected = [(i, d) for i, each in enumerate(held) for d in sorted(each & set(wanted.tolist()))]
    assert list(zip(places.tolist(), documents.tolist(), strict=True)) == expected


def test_without_it_keys_and_fingerprint_are_those_of_before(tiny_store, tmp_path):
    prepared = prepare(run_of(tiny_store, tmp_path, replay=None), world_size=1)
    assert not [name for name in prepared.fingerprint if "replay" in name]
    with_it = prepare(run_of(tiny_store, tmp_path), world_size=1)
    assert json.loads(with_it.fingerprint["stages.cooldown.replay"])["fraction"] == FRACTION


@pytest.mark.parametrize(
    ("of", "line"),
    [
        (("cooldown",), "replay.of names cooldown, and before cooldown come condition"),
        (("condition", "condition"), "replay.of names a stage twice"),
    ],
)
def test_stages_that_were_not_before_are_one_line(of, line, tmp_path):
    with pytest.raises(ValueError, match=line):
        run_of("store", tmp_path, Replay(fraction=0.5, of=of))


def test_a_first_stage_that_replays_is_one_line(tmp_path):
    stages = {"only": Stage(fraction=1, metadata=NO_METADATA, replay=Replay(fraction=0.5))}
    with pytest.raises(ValueError, match=r"stages.only.replay: no stage is before only"):
        run_of("store", tmp_path, stages=stages)


def test_a_share_that_is_not_there_is_one_line(tiny_store, tmp_path):
    """The first stage takes 4 sequences; the second would replay 144."""
    train = Train(steps=25, global_batch_size=8, warmup_steps=0)
    fractions = {"condition": 0.04, "cooldown": 0.96}
    stages = {
        name: stage.model_copy(update={"fraction": fractions[name]})
        for name, stage in stages_of(Replay(fraction=0.75)).items()
    }
    run = run_of(tiny_store, tmp_path, train=train, stages=stages)
    store = TokenStore.open(tiny_store)
    args = run, store.hash, store.split("train"), store.tokenizer(), "cooldown"
    with pytest.raises(UserError, match=r"replay.fraction=0.75 takes 144 sequences.*max_epochs=1"):
        build_stage_index(*args)
