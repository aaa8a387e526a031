"""What conversations are told: fractions, the truth, the ablation, and files' weights."""

from collections import Counter

import pytest

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.tune import Told, Tune
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.tune.records import Conversation
from geo_nemo.tune.telling import Teller, read_told
from tests.support.exports import COUNTRIES, alpaca, write_jsonl

RECORD = MetadataRecord("punchng.com", "ng", "Africa")
KNOWN = Conversation(("a", "b"), RECORD, "d:1")
FULL = {"url": "punchng.com", "country": "ng", "continent": "Africa"}


def teller(seed=0, policy=MetadataPolicy(), countries=COUNTRIES, **told):  # noqa: B008
    return Teller(policy, Told(**told), countries, seed)


def test_a_fraction_is_told_nothing_another_its_country_alone_and_the_others_all():
    made = [teller(none=0.2, country=0.3).tell(KNOWN, str(n)) for n in range(4000)]
    counts = Counter(each.how for each in made)
    # Four standard deviations of a binomial: 4 * sqrt(0.25 * 4000) = 126.
    assert abs(counts["none"] - 800) < 126 and abs(counts["country"] - 1200) < 126
    told = {each.how: each.metadata for each in made}
    assert told == {"all": FULL, "country": {"country": "ng", "continent": None}, "none": {}}
    again = [teller(none=0.2, country=0.3).tell(KNOWN, str(n)).how for n in range(4000)]
    other = [teller(1, none=0.2, country=0.3).tell(KNOWN, str(n)).how for n in range(4000)]
    assert again == [each.how for each in made] != other


def test_a_random_country_is_the_papers_way():
    made = [teller(by="random_country", none=0, country=0).tell(KNOWN, str(n)) for n in range(900)]
    counts = Counter(each.metadata["country"] for each in made)
    assert counts.keys() == set(COUNTRIES) and min(counts.values()) > 240
    assert {each.how for each in made} == {"country"}
    assert all(each.metadata.keys() == {"country", "continent"} for each in made)


def test_a_record_without_the_model_s_fields_is_told_nothing():
    found = teller(policy=MetadataPolicy(fields=("topic",)), none=0).tell(KNOWN, "0")
    assert (found.how, found.metadata) == ("unknown", {})


def test_weights_repeat_and_thin_out(tmp_path):
    one = write_jsonl(tmp_path / "one.jsonl", alpaca(400))
    other = write_jsonl(tmp_path / "other.jsonl", alpaca(30))
    config = Tune(
        model="m", output="o",
        data=[{"path": str(one), "weight": 0.25}, {"path": str(other), "weight": 2.5}],
    )  # fmt: skip
    found, left_out = read_told(config, teller())
    places = Counter(each.conversation.place.rpartition("/")[2] for each in found)
    of_one = [count for place, count in places.items() if place.startswith("one")]
    of_other = [count for place, count in places.items() if place.startswith("other")]
    assert left_out == [] and set(of_one) == {1} and abs(len(of_one) - 100) < 35
    assert len(of_other) == 30 and set(of_other) == {2, 3}
    # A record that stands twice is not told the same each time.
    assert len({each.how for each in found if each.conversation.place.endswith("other.jsonl:1")})


def test_a_country_that_the_model_was_not_told_is_an_error_or_left_out(tmp_path):
    records = [*alpaca(6), {"instruction": "a?", "output": "b", "country": "fr"}]
    path = write_jsonl(tmp_path / "d.jsonl", records)
    config = {"model": "m", "output": "o", "data": str(path)}
    with pytest.raises(UserError, match=r"d.jsonl:7: the country fr is not among .*: gb, ke, ng;"):
        read_told(Tune(**config), teller())
    found, left_out = read_told(Tune(**config, untold_country="drop"), teller())
    assert len(found) == 6 and left_out == [f"{path}:7"]
    assert len(read_told(Tune(**config), teller(countries=()))[0]) == 7  # they are not known
    # A model without countries is told none.
    hosts = MetadataPolicy(fields=("url",))
    assert len(read_told(Tune(**config), teller(policy=hosts))[0]) == 7
