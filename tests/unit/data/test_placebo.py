"""A placebo: metadata of other documents by one permutation, and all the rest as it was."""

import numpy as np
import pytest
from pydantic import ValidationError

from geo_nemo.config import Data, MetadataPolicy
from geo_nemo.config.named_experiments import parse
from geo_nemo.data.audit.check import audit_stage
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.lengths import MetadataLengths
from geo_nemo.data.placebo import Donors, told
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import Kind
from tests.unit.data.fakes import MemorySplit, random_documents
from tests.unit.data.test_lengths import SpaceTokenizer
from tests.unit.eval.fakes import make_store, texts

FIELDS = ("url", "country", "continent")
PLACEBO = MetadataPolicy(fields=FIELDS, placebo=True)
OWN = MetadataPolicy(fields=FIELDS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("placebo"), texts(90), train=90)


def dataset(store, policy, seed=1, **changes):
    split, data = store.split("train"), Data(store=str(store.root), seq_length=160, **changes)
    documents = np.arange(split.num_documents)
    return StageDataset(split, data, policy, store.tokenizer(), documents, seed)


def decoded(store, row, segment, kinds):
    where = slice(*row.cu_seqlens[segment : segment + 2])
    ids = row.labels[where][np.isin(row.label_kinds[where], kinds)]
    return store.tokenizer().decode(ids.tolist())


def test_donors_are_a_permutation_that_nothing_but_the_split_decides(store):
    split = store.split("train")
    donors = Donors(split)(np.arange(90))
    assert sorted(donors) == list(range(90))
    assert (donors == np.arange(90)).sum() < 10  # 1 is expected to keep its own
    assert [Donors(split).of(n) for n in (0, 41, 89)] == donors[[0, 41, 89]].tolist()
    assert not np.array_equal(donors, Donors(store.split("test"))(np.arange(90)))


def test_a_split_that_is_too_large_for_a_table_has_the_same_permutation(store, monkeypatch):
    expected = Donors(store.split("train"))(np.arange(90))
    monkeypatch.setattr("geo_nemo.data.placebo.WHOLE_UP_TO", 10)
    donors = Donors(store.split("train"))
    assert donors(np.arange(90)).tolist() == expected.tolist() and donors._table is None


def test_each_document_shows_its_donor_s_metadata_and_its_own_text(store):
    rows, split = dataset(store, PLACEBO), store.split("train")
    donors, tokenizer = Donors(split), store.tokenizer()
    seen = set()
    for number in range(len(rows)):
        row = rows[number]
        for segment, fragment in enumerate(rows.fragments(number)):
            if fragment.start or not fragment.kept or fragment.bare:
                continue
            of = split.record(donors.of(fragment.document))
            head = f"URL: {of.host}\nCOUNTRY: {of.country}\nCONTINENT: {of.continent}\n\n"
            assert decoded(store, row, segment, [Kind.METADATA]) == head
            body = tokenizer.decode(split.body(fragment.document)[: fragment.stop].tolist())
            assert decoded(store, row, segment, [Kind.BODY]) == body
            # What a loss by country counts is the document's own.
            start = row.cu_seqlens[segment]
            assert row.group_ids[start] == split.country[fragment.document]
            seen.add(fragment.document)
    assert len(seen) > 80


@pytest.mark.parametrize("form", ["host", "full"])
def test_lengths_without_composing_are_those_of_the_donors_blocks(form):
    policy = PLACEBO.model_copy(update={"url_form": form})
    split, documents = MemorySplit(random_documents(4, 30)), np.arange(30)
    composer = Composer(policy, SpaceTokenizer())
    expected = [len(composer.prefix_ids(told(split, policy).record(n))) for n in documents]
    kept = np.full(30, 7, dtype=np.uint8)
    assert MetadataLengths(composer, split)(documents, kept).tolist() == expected
    own = MetadataLengths(Composer(OWN, SpaceTokenizer()), split)(documents, kept)
    assert own.tolist() != expected


def test_rows_are_the_same_when_they_are_made_again_and_donors_do_not_hang_on_the_seed(store):
    first, again, other = (dataset(store, PLACEBO, seed) for seed in (1, 1, 2))
    for number in range(len(first)):
        assert np.array_equal(first[number].tokens, again[number].tokens)
        assert np.array_equal(first[number].labels, again[number].labels)
    shown = []
    for rows in (first, other):
        heads = {}
        for number in range(len(rows)):
            for segment, fragment in enumerate(rows.fragments(number)):
                head = decoded(store, rows[number], segment, [Kind.METADATA])
                heads[fragment.document] = head
        shown.append(heads)
    assert shown[0] == shown[1]


def test_accounting_counts_the_documents_own_countries(store):
    rows, own = dataset(store, PLACEBO), dataset(store, OWN)
    counted = {country: of["text_tokens"] for country, of in rows.ledger(len(rows)).items()}
    assert counted == {c: of["text_tokens"] for c, of in own.ledger(len(own)).items()}
    trained = dict.fromkeys(counted, 0)
    for number in range(len(rows)):
        row = rows[number]
        text = np.isin(row.label_kinds, [Kind.TITLE, Kind.BODY])
        for code, country in enumerate(store.countries):
            if country in trained:
                trained[country] += int((text & (row.group_ids == code)).sum())
    assert counted == trained


@pytest.mark.parametrize("packing", ["best_fit", "concat"])
def test_the_audit_passes_and_sees_when_a_document_is_told_its_own(store, packing):
    rows = dataset(store, PLACEBO, packing=packing)
    assert not audit_stage(rows, at_least_sequences=1).violations
    rows.composing._told = told(rows.split, OWN)
    rows.composing._blocks.clear()
    rows.composing._block_key = None
    rules = {violation.rule for violation in audit_stage(rows, at_least_sequences=1).violations}
    assert rules & {"metadata is the document's", "a bare piece is the document's"}


def test_the_cache_of_blocks_gives_what_each_block_is_anew(store):
    rows, plain = dataset(store, PLACEBO), dataset(store, PLACEBO)
    plain.composing._block_key = None
    for number in range(len(rows)):
        assert np.array_equal(rows[number].tokens, plain[number].tokens)


def test_the_policy_says_so_and_those_without_it_keep_their_hash():
    assert PLACEBO.hash() != OWN.hash() == MetadataPolicy(fields=FIELDS, placebo=False).hash()
    with pytest.raises(ValidationError, match="placebo permutes metadata, and fields is empty"):
        MetadataPolicy(fields=(), placebo=True)


def test_it_is_a_condition_of_the_named_experiments():
    groups = {"model": ["1b"], "select": [], "metadata": ["placebo"]}
    found = parse("localization/1b_global_placebo", groups.__getitem__)
    assert "told the metadata of other documents" in found.purpose
    assert "override /metadata@stages.condition.metadata: placebo" in found.recipe
