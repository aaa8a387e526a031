"""How much of a country its host tells: planted in the ending, in the name, and nowhere."""

import numpy as np
import pytest

from geo_nemo.metadata.host_signal import host_signal, national, pieces, stem


def names(number, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcdefgh"), 9)) for _ in range(number)]


def test_a_national_ending_tells_the_country_and_the_rest_of_the_name_does_not():
    codes = ["gb", "ke", "ng"] * 200
    ending = {"gb": "co.uk", "ke": "co.ke", "ng": "ng"}
    hosts = [f"{n}.{ending[code]}" for n, code in zip(names(600), codes, strict=True)]
    found = host_signal(hosts, codes)
    assert (found.hosts, found.countries, found.national, found.agreeing) == (600, 3, 1.0, 1.0)
    assert found.whole.accuracy > 0.97
    # 180 tested hosts of three countries: 4 standard errors are 0.14.
    assert found.stem.accuracy == pytest.approx(1 / 3, abs=0.14)


def test_a_word_of_the_name_tells_it_without_any_ending():
    words = {"gb": "london", "ke": "nairobi"}
    codes = ["gb", "ke"] * 150
    hosts = [f"{words[c]}-{n}.com" for n, c in zip(names(300, 1), codes, strict=True)]
    found = host_signal(hosts, codes)
    assert found.national == 0 and found.agreeing == 0
    assert found.whole.accuracy > 0.97 and found.stem.accuracy > 0.97


def test_hosts_of_one_name_are_on_one_side_of_the_split():
    """Ten names of each country, fifty hosts a name: a probe that knew the names would be right."""
    rows = [(f"h{k}.{name}.com", code) for code in ("gb", "ke")
            for name in names(30, code == "gb") for k in range(20)]  # fmt: skip
    found = host_signal([h for h, _ in rows], [c for _, c in rows])
    assert found.whole.accuracy < 0.8


@pytest.mark.parametrize(
    ("host", "code", "rest"),
    [
        ("www.bbc.co.uk", "gb", "www.bbc"), ("nation.africa", "", "nation"), ("x.com", "", "x"),
        ("punch.ng", "ng", "punch"), ("a.de.", "de", "a"), ("localhost", "", ""),
    ],
)  # fmt: skip
def test_the_national_domain_and_what_stands_before_it(host, code, rest):
    assert national(host) == code and stem(host) == rest


def test_pieces_are_those_of_fitted_hosts_with_marks_at_their_ends():
    table = pieces(["ab", "zz"], np.array([True, False]))
    # ^ a b $ ^a ab b$ ^ab ab$ ^ab$
    assert table.shape == (2, 10) and table[0].tolist() == [1] * 10
    assert table[1].sum() == 2  # its ends


def test_nothing_known_is_nothing_told():
    assert host_signal(["a.com"], [""]) is None
    few = host_signal(["a.uk", "b.uk"], ["gb", "gb"])
    assert few.whole is None and few.national == 1.0
