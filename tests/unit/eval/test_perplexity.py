"""Scores and tables, against plain loops over the documents' own text."""

from dataclasses import replace

import numpy as np
import pytest

from eval.documents import Documents
from eval.groups import groups
from eval.matrix import effects, tables
from eval.perplexity import Scores, score_documents
from eval.plan import make_plan
from geo_nemo.config import RunError
from geo_nemo.metadata.record import MetadataRecord
from tests.unit.eval.fakes import BigramScorer, nats_of_text


def score(config, scorer, condition, change=lambda documents: documents):
    plan = make_plan(config)
    documents = change(plan.documents)
    composer = plan.composers["with"]
    record_of = plan.shown.record_of(condition, composer)
    found = score_documents(
        scorer,
        plan.items,
        documents,
        composer,
        record_of,
        packed_length=512,
        run="with",
        condition=condition,
    )
    return plan, found


def told(plan, condition, place, documents):
    """Country and host that the document is shown."""
    source = plan.shown.source[condition]
    if source is None:
        return None, ""
    country, host, *_ = documents[source[place]]
    return country, host


@pytest.mark.parametrize("condition", ["with", "without", "shuffled", "wrong_country"])
def test_title_and_body_equal_a_plain_loop_over_the_whole_text(config, world, condition):
    scorer = BigramScorer()
    plan, found = score(config, scorer, condition)
    for place, (_, _, title, body) in enumerate(world.documents):
        country, host = told(plan, condition, place, world.documents)
        expected = nats_of_text(country, host, title, body)
        assert (found.title[place], found.body[place]) == pytest.approx(expected, rel=1e-5)
    assert scorer.sequences < 60  # several documents a row


def test_eos_is_kept_apart(config):
    plan, found = score(config, BigramScorer(), "without")
    scorer = BigramScorer()
    eos = plan.tokenizers["with"].eos_id
    last = int(plan.items.body(0)[-1])
    assert found.eos[0] == pytest.approx(-scorer.tables[None][last, eos], rel=1e-5)


def test_a_likelihood_that_is_not_finite_names_run_arm_and_document(config):
    class Broken(BigramScorer):
        def nll(self, row):
            nll = super().nll(row)
            return np.where(row.labels == row.labels[row.loss_mask > 0][0], np.inf, nll)

    with pytest.raises(RunError, match=r"run with, condition shuffled, document \d+: .* inf"):
        score(config, Broken(), "shuffled")


def test_what_is_not_scored_may_be_anything(config):
    class NanElsewhere(BigramScorer):
        def nll(self, row):
            return np.where(row.loss_mask > 0, super().nll(row), np.nan)

    _, found = score(config, NanElsewhere(), "with")
    assert np.isfinite(found.text).all()


def test_other_tokens_than_those_of_the_other_arms_are_an_error(config):
    def other_hash(documents):
        hashes = documents.token_hash.copy()
        hashes[7] ^= 1
        return replace(documents, token_hash=hashes)

    with pytest.raises(
        AssertionError, match="run with, condition with, document 7: the scored tokens"
    ):
        score(config, BigramScorer(), "with", other_hash)


def small_tables(samples=400):
    """Twelve documents of two countries; b's loss is a's and 0.1 a token less in country 0."""
    rng = np.random.default_rng(0)
    country = np.array([0] * 10 + [1] * 2)
    body = np.arange(10, 22)
    documents = Documents(
        index=np.arange(12), country=country, title_tokens=np.zeros(12, int), body_tokens=body,
        whole=np.ones(12, bool), token_hash=np.zeros(12, np.uint64), skipped={},
        title_bytes=np.zeros(12, int), body_bytes=3 * body,
    )  # fmt: skip
    a = rng.uniform(1, 5, 12) * body
    b = a - 0.1 * body * (country == 0)
    zero = np.zeros(12)
    plain, better = Scores(zero, a, zero), Scores(zero, b, zero)
    scores = {
        ("a", "with"): plain,
        ("a", "without"): plain,
        ("b", "with"): better,
        ("b", "without"): plain,
    }
    wanted = effects(("with", "without"), {"a": False, "b": True})
    places = [(("gb", "Europe"), ("ke", "Africa"))[number] for number in country]
    records = [MetadataRecord("", *place) for place in places]
    found_groups = groups(("country",), records)
    found = tables(
        {"a": documents, "b": documents},
        scores,
        found_groups,
        wanted,
        samples=samples,
        confidence=0.95,
        seed=0,
    )
    return found, body, a, b


def line(lines, **wanted):
    found = [x for x in lines if all(x[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_perplexity_is_a_micro_average_over_tokens():
    found, body, a, b = small_tables()
    cell = line(found["cells"], group="all", part="body", run="b", condition="with")
    assert cell["perplexity"] == pytest.approx(np.exp(b.sum() / body.sum()))
    assert (cell["tokens"], cell["documents"]) == (body.sum(), 12)
    assert cell["bits_per_byte"] == pytest.approx(b.sum() / np.log(2) / (3 * body.sum()))
    cell = line(found["cells"], group="country", name="ke", part="text", run="a", condition="with")
    assert cell["perplexity"] == pytest.approx(np.exp(a[10:].sum() / body[10:].sum()))


def test_differences_are_paired_by_document():
    found, *_ = small_tables()
    effect = line(
        found["effects"], group="country", name="gb", part="body", of=("b", "with"),
        against=("a", "without"),
    )  # fmt: skip
    # Losses vary between 1 and 5 nats a token, but their difference is the same everywhere.
    assert effect["nats"] == pytest.approx(-0.1)
    assert (effect["low"], effect["high"]) == (pytest.approx(-0.1), pytest.approx(-0.1))
    assert effect["ratio"] == pytest.approx(np.exp(-0.1))


def test_a_group_of_few_documents_has_no_interval_and_a_part_without_tokens_no_line():
    found, *_ = small_tables()
    cell = line(found["cells"], group="country", name="ke", part="body", run="a", condition="with")
    assert (cell["low"], cell["high"]) == (None, None)
    assert not [cell for cell in found["cells"] if cell["part"] == "title"]


def test_effects_name_every_pair_that_the_arms_allow():
    conditions = ("with", "without", "shuffled", "wrong_country")
    found = {(e.of, e.against) for e in effects(conditions, {"p": True, "m": False})}
    assert {
        (("p", "with"), ("m", "without")),
        (("p", "without"), ("m", "without")),
        (("p", "with"), ("p", "without")),
        (("p", "shuffled"), ("p", "without")),
        (("p", "wrong_country"), ("p", "without")),
    } <= found
    purposes = {
        no_labels: {e.purpose for e in effects((*conditions, "plain"), {"p": True, "m": False},
                                               no_labels=no_labels) if "bare text" in e.purpose}
        for no_labels in ((), ("m",), ("p", "m"))
    }  # fmt: skip
    assert [len(purposes[each]) for each in purposes] == [2, 2, 0]
    only = effects(("with", "without"), {"p": True, "m": False})
    assert {condition for effect in only for _, condition in (effect.of, effect.against)} == {
        "with",
        "without",
    }
