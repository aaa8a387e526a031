"""Counts in sentences."""

from geo_nemo.common.counts import plural


def test_one_thing_is_no_several():
    assert [plural(n, "host") for n in (0, 1, 2, 12_345)] == [
        "0 hosts", "1 host", "2 hosts", "12,345 hosts",
    ]  # fmt: skip
    said = [plural(n, "country has", "countries have") for n in (1, 2)]
    assert said == ["1 country has", "2 countries have"]
