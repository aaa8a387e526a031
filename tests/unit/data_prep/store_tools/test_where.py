"""Conditions: what they choose, and what is no condition."""

import numpy as np
import pytest

from data_prep.store_tools.policies import parse_policy, policy_words
from data_prep.store_tools.where import parse_where
from geo_nemo.common.errors import UserError
from geo_nemo.config import MetadataPolicy
from geo_nemo.store import TokenStore
from tests.unit.data_prep.store_tools.worlds import Text, write_store

TEXTS = [
    Text("aa", country="gb", host="a.co.uk", year=2019, quality=10, source="now"),
    Text("bb", country="ie", host="b.ie", year=2020, quality=50, source="cc_news"),
    Text("cc", country="us", host="c.com", year=2021, quality=90, source="now"),
    Text("dd", country="gb", host="news.a.co.uk", year=0, quality=100, source="web"),
    Text("e" * 50, country="ke", host="e.ke", year=2020, quality=0, source="now"),
]


@pytest.fixture(scope="module")
def store(tokenizer_paths, tmp_path_factory):
    root = tmp_path_factory.mktemp("where") / "store"
    path = tokenizer_paths["sentencepiece"]
    # Shards number their own countries: the second one's differ from the first one's.
    return TokenStore.open(write_store(root, path, {"train": TEXTS}, shard_documents=3))


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        ([], [0, 1, 2, 3, 4]),
        (["country=gb"], [0, 3]),
        (["country=GB|ie"], [0, 1, 3]),
        (["country!=gb|ie"], [2, 4]),
        (["continent=Africa|america"], [2, 4]),
        (["host=a.co.uk"], [0]),
        (["host=*.co.uk"], [0, 3]),
        (["host!=*a.co.uk"], [1, 2, 4]),
        (["source=cc_news"], [1]),
        (["year>=2020"], [1, 2, 4]),
        (["year>2020"], [2]),
        (["year<2020,year!=0"], [0]),
        (["year=2019|2021"], [0, 2]),
        (["quality<=50", "country!=ke"], [0, 1]),
        ([" country = gb , quality > 10 "], [3]),
        (["tokens>20"], [4]),
        (["country=zz"], []),
    ],
)
def test_conditions_choose(store, texts, chosen):
    matches = parse_where(texts).matcher(store)
    found = np.concatenate([matches(shard) for shard in store.shards("train")])
    assert np.flatnonzero(found).tolist() == chosen


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cuntry=gb", "no column cuntry, .* did you mean country"),
        ("gb", "not a condition"),
        ("year>=", "give a value"),
        ("year>=abc", "year is a whole number, not abc"),
        ("year>=2020|2021", "takes one value"),
        ("country>=gb", "country is a name"),
        ("year=99999999999999999999", "whole number"),
    ],
)
def test_what_is_no_condition_is_one_line(store, text, words):
    with pytest.raises(UserError, match=f"--where .*{words}") as raised:
        parse_where([text]).matcher(store)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "policy", "words"),
    [
        (("all",), MetadataPolicy(), "url, country, continent"),
        (("none",), MetadataPolicy(fields=()), "no metadata"),
        (("country, url",), MetadataPolicy(fields=("country", "url")), "country, url"),
        (("url", "path"), MetadataPolicy(fields=("url",), url_form="path"), "url (path)"),
        (
            ("url", "host", "prepend", "meco"),
            MetadataPolicy(fields=("url",), template="meco"),
            "url, as meco",
        ),
        (("url:path",), MetadataPolicy(fields=("url",), url_form="path"), "url (path)"),
        (
            ("url", "host", "append"),
            MetadataPolicy(fields=("url",), position="append", mask_loss=False),
            "url, appended",
        ),
    ],
)
def test_policies_by_words(arguments, policy, words):
    assert parse_policy(*arguments) == policy.model_copy(update={"cut": "whole"})
    assert policy_words(policy) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("URL-", "give names of fields, as url, host"),
        ("url,url", "twice"),
        ("url:whole", "url is written as host or path or full"),
        ("country:long", "country is written as plain"),
    ],
)
def test_what_is_no_policy_is_one_line(fields, words):
    with pytest.raises(UserError, match=words):
        parse_policy(fields)


FIELDS = [
    {"topic": "Sport", "price": "2.5", "tags": ("a", "b"), "date": "2024-05-31"},
    {"topic": "arts & books", "price": "-10", "tags": ("b",)},
    {"price": "100", "date": "2024"},
    {"topic": "unknown", "note": "free"},
    {"tags": ("c",), "topic": "sports news", "date": "2023-12"},
]


@pytest.fixture(scope="module")
def with_fields(tokenizer_paths, tmp_path_factory):
    from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
    from geo_nemo.tokenizers.load import load_tokenizer

    root, path = tmp_path_factory.mktemp("fields") / "store", tokenizer_paths["sentencepiece"]
    root.mkdir()
    kinds = {"price": "number", "note": "text", "date": "date"}
    writer = StoreWriter(root, load_tokenizer(path), path, ["gb"], {"gb": "Europe"}, 3, kinds)
    given = [StoreDocument("a.co.uk", "gb", "/", n, fields=f) for n, f in enumerate(FIELDS)]
    writer.add("train", given, [[]] * 5, [[7] * (n + 1) for n in range(5)])
    writer.finish({}, [])
    return TokenStore.open(root, check_hashes=True)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("topic=sport", [0]),
        ("topic=sport*", [0, 4]),
        ("topic!=sport|arts*", [2, 3, 4]),
        ("topic=unknown", [2, 3]),
        ("price>=2.5", [0, 2]),
        ("price<0", [1]),
        ("price<1e9", [0, 1, 2]),
        ("price=100|-10", [1, 2]),
        ("tags=b", [0, 1]),
        ("tags!=b", [2, 3, 4]),
        ("tags=a|c", [0, 4]),
        ("tags=unknown", [2, 3]),
        ("note=free", [3]),
        ("note!=free", [0, 1, 2, 4]),
        ("date>=2024", [0, 2]),
        ("date<2024-05", [2, 4]),
        ("date>2023-11-30", [0, 2, 4]),
        ("topic=sport*,date<2024", [4]),
    ],
)
def test_fields_of_the_users_own_are_conditions(with_fields, text, chosen):
    matches = parse_where([text]).matcher(with_fields)
    found = np.concatenate([matches(shard) for shard in with_fields.shards("train")])
    assert np.flatnonzero(found).tolist() == chosen


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("topics=x", "no column topics, there is country, .*price, .*; did you mean topic"),
        ("topic>=x", "it is a category, which takes = or !="),
        ("price>=cheap", "cheap is no number"),
        ("date<soon", "soon is no date"),
        ("price>1|2", "> takes one value"),
    ],
)
def test_a_condition_that_a_field_has_not_is_one_line(with_fields, text, words):
    with pytest.raises(UserError, match=words) as raised:
        parse_where([text]).matcher(with_fields)
    assert "\n" not in str(raised.value)


def test_values_of_fields_are_counted(with_fields):
    from data_prep.store_tools.stats import store_stats

    fields = {field.name: field for field in store_stats(with_fields).fields}
    counted = {v.name: (v.documents, v.tokens) for v in fields["tags"].top}
    assert counted == {"a": (1, 1), "b": (2, 3), "c": (1, 5)}
    assert (fields["tags"].documents, fields["tags"].many) == (3, True)
    topics = {v.name: (v.documents, v.tokens) for v in fields["topic"].top}
    assert topics == {"Sport": (1, 1), "arts & books": (1, 2), "sports news": (1, 5),
                      "unknown": (1, 4)}  # fmt: skip
    assert (fields["note"].documents, fields["note"].values, fields["note"].top) == (1, 0, ())
