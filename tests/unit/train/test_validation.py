"""Validation during a run: the same tokens in every condition, losses as plain PyTorch has them."""

import json

import numpy as np
import pytest

from geo_nemo.config import MetadataPolicy, UserError, Validation
from geo_nemo.data.validation import choose_documents, validation_sequences
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.train.callback import Verdict
from geo_nemo.train.callbacks import Validate
from geo_nemo.train.callbacks.validation import _batches_of
from geo_nemo.train.setup import prepare
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.runs import Events, trainer
from tests.support.tiny import tiny_run

SETTINGS = Validation(every_steps=4, documents=24, split="test")
CONTENT = (Kind.TITLE, Kind.BODY, Kind.EOS)


@pytest.fixture(scope="module")
def sequences(tiny_store, tmp_path_factory):
    prepared = prepare(tiny_run(tiny_store, tmp_path_factory.mktemp("rows")), world_size=1)
    split = prepared.store.split("test")
    documents = choose_documents(split, 24, seed=7)
    made = validation_sequences(split, documents, MetadataPolicy(), prepared.tokenizer, 128, 7)
    return split, documents, made


def content(sequences):
    """Trained labels of every document, in order."""
    return [
        sequence.labels[
            (sequence.segment_ids == s) & np.isin(sequence.label_kinds, CONTENT)
        ].tolist()
        for sequence in sequences
        for s in range(sequence.segment_ids.max() + 1)
    ]


def metadata(sequences):
    return [
        sequence.labels[
            (sequence.segment_ids == s) & (sequence.label_kinds == Kind.METADATA)
        ].tolist()
        for sequence in sequences
        for s in range(sequence.segment_ids.max() + 1)
    ]


def test_every_condition_is_scored_on_the_same_tokens(sequences):
    _, documents, made = sequences
    assert set(made) == {"with", "without", "wrong"}
    scored = {condition: content(of_condition) for condition, of_condition in made.items()}
    assert len(scored["with"]) == len(documents)
    assert scored["with"] == scored["without"] == scored["wrong"]
    for of_condition in made.values():
        for sequence in of_condition:
            assert np.array_equal(sequence.loss_mask > 0, np.isin(sequence.label_kinds, CONTENT))


def test_wrong_metadata_are_those_of_another_country(sequences):
    _, _, made = sequences
    assert not any(metadata(made["without"]))
    for right, wrong in zip(metadata(made["with"]), metadata(made["wrong"]), strict=True):
        assert right and wrong and right != wrong


def test_documents_of_one_country_can_be_told_no_other(sequences):
    split, documents, _ = sequences
    tokenizer = TokenStore.open(split.root).tokenizer()
    alone = documents[np.asarray(split.country)[documents] == split.country[documents[0]]]
    with pytest.raises(UserError, match=r"validation\.every_steps: .* all are told the same; take"):
        validation_sequences(split, alone, MetadataPolicy(), tokenizer, 128, 7)


def test_validation_and_evaluation_tell_a_document_the_same_wrong_metadata(sequences):
    from eval.conditions import donors

    split, documents, made = sequences
    tokenizer = TokenStore.open(split.root).tokenizer()
    composer = Composer(MetadataPolicy(), tokenizer)
    other = donors("wrong_country", np.asarray(split.country)[documents], 7, "documents")
    assert metadata(made["wrong"]) == [
        composer.prefix_ids(split.record(int(documents[place]))).tolist() for place in other
    ]


def test_losses_gap_and_countries_equal_the_oracle_s(tiny_store, tmp_path, single_process):
    made = trainer(tiny_run(tiny_store, tmp_path, validation=SETTINGS))
    validate = Validate(tmp_path / "validation.jsonl", made.prepared, made.engine)
    made.callbacks = [validate]
    made.fit()
    lines = [json.loads(line) for line in (tmp_path / "validation.jsonl").open()]
    assert [(line["step"], line["stage"]) for line in lines] == [(3, "cooldown"), (5, "cooldown")]
    last = lines[-1]
    weights = {n: w.detach().double() for n, w in made.engine.module.named_parameters()}
    for condition, batches in validate.batches.items():
        loss, _, nll = batch_loss_and_gradients(weights, made.run.model, batches)
        assert last["loss"][condition] == pytest.approx(loss, rel=1e-6)
        mask = np.concatenate([b.loss_mask.ravel() for b in batches]) > 0
        sources = np.concatenate([b.group_ids.ravel() for b in batches])
        for country, value in last["loss_by_country"][condition].items():
            index = made.prepared.store.countries.index(country)
            here = nll.numpy()[mask & (sources == index)]
            assert value == pytest.approx(here.mean(), rel=1e-6)
    assert last["gap"] == last["loss"]["without"] - last["loss"]["with"]
    assert last["trust"] == last["loss"]["wrong"] - last["loss"]["without"]


def test_validation_does_not_change_the_run(tiny_store, tmp_path, single_process):
    import torch

    from tests.support.runs import finished, weights

    plain = weights(finished(tiny_store, tmp_path / "plain"))
    made = trainer(tiny_run(tiny_store, tmp_path / "validated", validation=SETTINGS))
    made.callbacks = [Validate(tmp_path / "validation.jsonl", made.prepared, made.engine)]
    made.fit()
    for name, weight in weights(made).items():
        assert torch.equal(weight, plain[name]), name


def test_a_resumed_run_has_each_validation_once(tiny_store, tmp_path, single_process):
    made = trainer(tiny_run(tiny_store, tmp_path, validation=SETTINGS))
    path = tmp_path / "validation.jsonl"
    lines = b'{"step": 1}\n{"step": 3}\n{"step": 5, "lo'
    path.write_bytes(lines)
    Validate(path, made.prepared, made.engine).on_start(3)
    assert path.read_bytes() == b'{"step": 1}\n'


def test_a_score_of_weights_that_a_rewind_undid_is_no_score(tiny_store, tmp_path, single_process):
    """Step 3 is left out when it comes again, and so is its validation."""
    run = tiny_run(tiny_store, tmp_path, validation=SETTINGS, checkpoint={"every_steps": 2})
    made = trainer(run)
    validate = Validate(tmp_path / "validation.jsonl", made.prepared, made.engine)

    class Rewinds(Events):
        def on_step(self, event):
            return Verdict("rewind", "away from here") if event.step == 3 else None

    made.callbacks = [validate, Rewinds()]
    assert made.fit()
    records = {
        path.name: json.loads((path / "geo_nemo.json").read_text())
        for path in (tmp_path / "checkpoints").glob("step_*")
    }
    assert records["step_00000004"]["skipped"] == [3]
    assert records["step_00000004"]["score"] is None
    assert records["step_00000006"]["score"] is not None


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ranks_share_the_sequences_and_the_one_that_has_fewer_trains_nothing(sequences, size):
    _, _, made = sequences
    fractions = [_batches_of(made["with"], rank, size) for rank in range(size)]
    assert len({len(fraction) for fraction in fractions}) == 1
    trained = sum(float(b.loss_mask.sum()) for fraction in fractions for b in fraction)
    assert trained == sum(float(sequence.loss_mask.sum()) for sequence in made["with"])


def test_a_store_without_held_out_documents_is_one_line(tiny_store, tmp_path, single_process):
    made = trainer(tiny_run(tiny_store, tmp_path, validation=Validation(every_steps=2)))
    with pytest.raises(
        UserError, match=r"validation.every_steps needs held-out documents: .* is empty"
    ):
        Validate(tmp_path / "validation.jsonl", made.prepared, made.engine)
