"""What a model reads in each condition, letter by letter, and which it was trained on."""

from types import SimpleNamespace

import numpy as np
import pytest

from eval.conditions import donors, invented_host, off_distribution, shown_record, view
from geo_nemo.config import MetadataPolicy, Stage
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from tests.unit.eval.fakes import byte_tokenizer

OWN = MetadataRecord("a.co.uk", "gb", "Europe")
DONOR = MetadataRecord("b.ke", "ke", "Africa")
NONE = invented_host("a.co.uk")


@pytest.fixture(scope="module")
def composer(tmp_path_factory):
    tokenizer, _ = byte_tokenizer(tmp_path_factory.mktemp("t"))
    return Composer(MetadataPolicy(), tokenizer)


def text(composer, condition):
    seen = view(condition, composer)
    title, body = (np.array(composer.tokenizer.encode(t)) for t in (" T\n\n", " B"))
    items = [OWN, DONOR]
    source = donors(condition, np.array([0, 1]), 0, "documents")
    record = None if source is None else shown_record(condition, composer, OWN, items[source[0]])
    whole = seen.join(seen.prefix_ids(record), title, body, True)
    assert len(whole.ids) == len(whole.kinds)
    return composer.tokenizer.decode(whole.ids.tolist())


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("wrong_country", "URL: b.ke\nCOUNTRY: ke\nCONTINENT: Africa\n\nTITLE: T\n\nCONTENT: B"),
        ("without", "TITLE: T\n\nCONTENT: B"),
        ("plain", " T\n\n B"),
        ("only_country", "COUNTRY: gb\n\nTITLE: T\n\nCONTENT: B"),
        ("only_url", "URL: a.co.uk\n\nTITLE: T\n\nCONTENT: B"),
        ("no_url", "COUNTRY: gb\nCONTINENT: Europe\n\nTITLE: T\n\nCONTENT: B"),
        ("other_url", "URL: b.ke\nCOUNTRY: gb\nCONTINENT: Europe\n\nTITLE: T\n\nCONTENT: B"),
        ("other_country", "URL: a.co.uk\nCOUNTRY: ke\nCONTINENT: Europe\n\nTITLE: T\n\nCONTENT: B"),
        ("invented_host", f"URL: {NONE}\nCOUNTRY: gb\nCONTINENT: Europe\n\nTITLE: T\n\nCONTENT: B"),
    ],
)
def test_an_arm_reads(composer, condition, words):
    assert text(composer, condition) == words


def test_an_invented_host_is_reserved_and_the_host_s_own():
    assert NONE.endswith(".example") and NONE == invented_host("a.co.uk") != invented_host("b.ke")


ALL = ("url", "country", "continent")


@pytest.mark.parametrize(
    ("stages", "off"),
    [
        ([MetadataPolicy()], {"without", "plain", "only_url", "no_url"}),
        ([MetadataPolicy(), MetadataPolicy(fields=())], {"plain", "only_url", "no_url"}),
        ([MetadataPolicy(dropout=0.1)], {"plain", "only_url", "no_url"}),
        ([MetadataPolicy(field_dropout={"url": 0.1})], {"without", "plain", "only_url"}),
        (
            [MetadataPolicy(field_dropout={"country": 0.1, "continent": 0.1})],
            {"without", "plain", "no_url"},
        ),
        ([MetadataPolicy(fields=())], {"with", "wrong_country", "plain", "only_url", "no_url"}),
        ([], {"with", "wrong_country", "without", "only_url", "no_url"}),
    ],
)
def test_what_a_model_was_never_trained_on_is_off_its_distribution(stages, off):
    model = SimpleNamespace(
        stages={str(n): Stage(fraction=1, metadata=policy) for n, policy in enumerate(stages)}
    )
    conditions = ("with", "without", "plain", "wrong_country", "only_url", "no_url")
    told = next((policy for policy in stages if policy.fields), MetadataPolicy())
    assert {
        condition for condition in conditions if off_distribution(condition, model, told)
    } == off


def test_under_a_template_without_labels_the_bare_text_is_what_it_knows():
    policy = MetadataPolicy(template="meco")
    model = SimpleNamespace(stages={"a": Stage(fraction=1, metadata=policy)})
    # It is the same text, which this one never read without a line above it,
    assert off_distribution("plain", model, policy)
    assert off_distribution("without", model, policy)
    # and one with a cooldown or dropout did.
    for more in (
        MetadataPolicy(fields=(), template="plain"),
        policy.model_copy(update={"dropout": 0.1}),
    ):
        model.stages["b"] = Stage(fraction=1, metadata=more)
        assert not off_distribution("plain", model, policy)
        assert not off_distribution("without", model, policy)
