"""Conditions: what they choose, and what is no condition."""

import numpy as np
import pytest

from data_prep.store_tools.policies import parse_policy, policy_words
from data_prep.store_tools.where import parse_where
from geo_nemo.config import MetadataPolicy
from geo_nemo.config.errors import UserError
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
def test_what_is_no_condition_is_one_line(text, words):
    with pytest.raises(UserError, match=f"--where .*{words}") as raised:
        parse_where([text])
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
    assert parse_policy(*arguments) == policy
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
