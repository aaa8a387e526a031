"""The audit: silent on honest sequences, and it names the rule that a falsified sequence breaks."""

from dataclasses import replace

import numpy as np
import pytest

from geo_nemo.config import Data, MetadataPolicy, Sampling
from geo_nemo.data.audit.check import audit_stage, check_sequence, check_window
from geo_nemo.data.dataset import StageDataset
from geo_nemo.metadata.record import Kind
from tests.unit.data.fakes import Document, MemorySplit, WordTokenizer, draws_of, random_documents
from tests.unit.data.test_dataset import PACKINGS, POLICIES, dataset


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("samples", [None, 3, 200])
def test_honest_sequences_break_no_rule(name, samples, packing):
    data = dataset(random_documents(2, 50), POLICIES[name], samples=samples, packing=packing)
    audit = audit_stage(data)
    assert audit.violations == ()
    assert audit.broken == {}
    assert audit.windows == data.index.num_windows


@pytest.mark.parametrize("packing", PACKINGS)
def test_weights_of_the_policy_break_no_rule_and_another_weight_does(packing):
    weights = {"metadata": 0.3, "title": 0, "body": 2}
    policy = MetadataPolicy(position="append", loss_weights=weights)
    data = dataset(random_documents(2, 50), policy, samples=20, packing=packing)
    assert audit_stage(data).violations == ()
    sequence = data[0]
    mask = np.where(sequence.loss_mask == 2, np.float32(1), sequence.loss_mask)
    wrong = check_sequence(data, replace(sequence, loss_mask=mask), data.fragments(0), 0)
    assert {violation.rule for violation in wrong} == {"a weight is 0 or the policy's"}


@pytest.mark.parametrize("packing", PACKINGS)
def test_mixed_groups_of_several_epochs_break_no_rule(packing):
    split = MemorySplit(random_documents(2, 50))
    sampling = Sampling(weights={country: i + 1 for i, country in enumerate(split.countries)})
    draws = draws_of(split, np.arange(50), sampling, 5, 30, 48 * 300, "s")
    data = StageDataset(
        split,
        Data(store="unused", seq_length=48, packing_window=30, **PACKINGS[packing]),
        MetadataPolicy(dropout=0.3),
        WordTokenizer(),
        draws,
        seed=3,
        num_samples=300,
    )
    audit = audit_stage(data)
    assert audit.broken == {}
    assert data.statistics().epochs > 3
    assert audit.total_windows is None


def test_statistics_of_one_document():
    # BOS, 10 of metadata with its separator, CONTENT: and 20 of body, EOS: 32 positions of 48.
    audit = audit_stage(dataset([Document(title=[], body=range(1000, 1020))]))
    assert audit.sequences == audit.windows == 1
    assert audit.statistics.fill == 32 / 48
    assert audit.statistics.metadata_fraction == 10 / 32
    assert audit.masked_fraction == pytest.approx(11 / 32)
    assert {c: vars(n) for c, n in audit.by_group.items()} == {
        "gb": {"fragments": 1, "positions": 32, "trained": 21}
    }


def test_whole_windows_are_checked_until_there_are_sequences_enough():
    data = dataset(random_documents(2, 50), window=10)
    audit = audit_stage(data, at_least_sequences=1)
    assert (audit.windows, audit.total_windows) == (1, 5)
    assert audit.sequences == len(data.planner.plan(0))


def golden():
    """A stage of two short documents in one sequence: 12 + 4 and 12 + 5 tokens, then padding."""
    documents = [
        Document(title=[], body=[1000, 1001, 1002]),
        Document(title=[], body=[1003, 1004, 1005, 1006]),
    ]
    data = dataset(documents)
    return data, data[0], data.fragments(0)


def changed(sequence, name, position, value):
    array = getattr(sequence, name).copy()
    array[position] = value
    return replace(sequence, **{name: array})


FALSIFICATIONS = [
    ("loss_mask", 0, 1, "no metadata, label, BOS or padding is trained"),
    ("loss_mask", 10, 1, "no metadata, label, BOS or padding is trained"),
    ("loss_mask", -1, 1, "no metadata, label, BOS or padding is trained"),
    ("loss_mask", 11, 0, "the first body token is trained"),
    ("loss_mask", 12, 0, "trained text is the store's"),
    ("loss_mask", 12, 0.5, "a weight is 0 or the policy's"),
    ("labels", 0, 1, "BOS is never a label"),
    ("labels", 12, 9, "a label is the next token"),
    ("tokens", 0, 9, "a document starts with BOS"),
    ("tokens", -1, 9, "padding is padding"),
    ("position_ids", 3, 0, "positions restart in each segment"),
    ("group_ids", -1, 0, "padding has no group"),
    ("group_ids", 2, 1, "group is that of the document"),
    ("cu_seqlens", -1, 47, "segments tile the sequence"),
    ("cu_seqlens", 1, 0, "segments tile the sequence"),
]


@pytest.mark.parametrize(("name", "position", "value", "rule"), FALSIFICATIONS)
def test_a_falsified_sequence_breaks_the_rule(name, position, value, rule):
    data, sequence, fragments = golden()
    assert check_sequence(data, sequence, fragments, 0) == []
    found = check_sequence(data, changed(sequence, name, position, value), fragments, 5)
    assert rule in {violation.rule for violation in found}
    assert {violation.sample for violation in found} == {5}


def test_a_wrong_kind_does_not_hide_a_trained_prefix():
    data, sequence, fragments = golden()
    hidden = changed(changed(sequence, "loss_mask", 2, 1), "label_kinds", 2, Kind.BODY)
    found = {violation.rule for violation in check_sequence(data, hidden, fragments, 0)}
    assert {"trained text is the store's", "nothing else is trained"} <= found


def test_metadata_of_another_document_is_noticed():
    data, sequence, fragments = golden()
    other = data.tokenizer.encode(" cnn.com")[0]
    labels = changed(sequence, "labels", 1, other)
    found = check_sequence(data, changed(labels, "tokens", 2, other), fragments, 0)
    assert [violation.rule for violation in found] == ["metadata is the document's"]


def test_a_lost_piece_is_noticed():
    data = dataset([Document([], list(range(1000, 1100)))])
    window = data.planner.plan(0)
    assert check_window(data, window, np.zeros(1, int)) == []
    lost = replace(window, sequence_starts=window.sequence_starts[:-1])
    assert [v.rule for v in check_window(data, lost, np.zeros(1, int))] == ["every token once"]


def test_a_lost_document_and_a_repeated_one_are_noticed():
    data = dataset([Document([], [1000]), Document([], [1001] * 30)], window=2)
    window = data.planner.plan(0)
    seen = np.zeros(2, int)
    assert check_window(data, window, seen) == []
    again = check_window(data, window, seen)
    assert [v.rule for v in again] == ["every document once an epoch"] * 2
    lost = replace(window, sequence_starts=window.sequence_starts[:-1])
    found = check_window(data, lost, np.zeros(2, int))
    assert [(v.rule, v.detail) for v in found] == [
        ("every document once an epoch", "1 of 2 documents in the window")
    ]


@pytest.mark.parametrize(("name", "position", "value", "rule"), [
    ("tokens", 0, 9, "a bare piece is the document's"),
    ("labels", 47, 9, "trained text is the store's"),
    ("loss_mask", 5, 0, "nothing else is trained"),
])  # fmt: skip
def test_a_falsified_bare_piece_breaks_the_rule(name, position, value, rule):
    data = dataset([Document([], list(range(1000, 1100)))], packing="concat, bare")
    sample = next(i for i in range(len(data)) if data.fragments(i)[0].start == 48)
    sequence, fragments = data[sample], data.fragments(sample)
    assert check_sequence(data, sequence, fragments, 0) == []
    found = check_sequence(data, changed(sequence, name, position, value), fragments, 0)
    assert rule in {violation.rule for violation in found}


def test_an_index_of_other_sequences_is_noticed():
    data = dataset(random_documents(2, 50))
    data.index = dataset(random_documents(2, 50), seed=4).index
    assert "the index holds the plan" in audit_stage(data).broken
