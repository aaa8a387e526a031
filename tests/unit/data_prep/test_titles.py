"""Titles without the site's name, and bodies without the title again."""

import time

import pytest

from data_prep.titles import without_site, without_title

PROSE = "The council of the town met on Tuesday evening to talk about a bridge over the river."


@pytest.mark.parametrize(
    ("title", "site", "host", "heading", "own"),
    [
        ("Maize prices rise | The Citizen", "", "www.thecitizen.co.tz", "", "Maize prices rise"),
        ("Maize prices rise - BBC News", "BBC News", "www.bbc.com", "", "Maize prices rise"),
        ("Maize prices rise - BBC News", "", "www.bbc.com", "", "Maize prices rise"),
        ("Maize rises – Daily Nation", "Nation", "x.org", "Maize rises", "Maize rises"),
        ("The Hindu | Maize prices rise", "", "www.thehindu.com", "", "Maize prices rise"),
        ("Maize rises | Business | The Star", "The Star", "", "Maize rises", "Maize rises"),
        ("Daily Nation: Maize rises", "Daily Nation", "nation.africa", "", "Maize rises"),
        ("Punchng.com: Maize rises", "", "www.punchng.com", "", "Maize rises"),
        ("Maize rises | South China Morning Post", "", "www.scmp.com", "", "Maize rises"),
        ("玉米價格上漲｜香港01", "香港01", "www.hk01.com", "", "玉米價格上漲"),
        ("玉米价格上涨_新华网", "新华网", "www.news.cn", "", "玉米价格上涨"),
        ("Kenya: maize rises", "The Star", "kenya.example.com", "", "Kenya: maize rises"),
        ("snake_case is back", "Case", "x.org", "", "snake_case is back"),
        # A dash of the title's own.
        ("Rain - then the flood", "The Star", "the-star.co.ke", "", "Rain - then the flood"),
        ("Spider-Man is back", "", "man.com", "", "Spider-Man is back"),
        ("The Star", "The Star", "the-star.co.ke", "", "The Star"),
        ("", "The Star", "the-star.co.ke", "", ""),
    ],
)  # fmt: skip
def test_the_outlet_s_name_is_no_part_of_a_title(title, site, host, heading, own):
    assert without_site(title, site, host, heading) == own


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["Maize prices rise in Kisumu"], []),
        (["News", "Maize prices rise in Kisumu", "By Jane Doe", "Published 3 May 2024, 10:00"], []),
        (["Maize prices rise in Kisumu", "", "12 May 2024", "Photo: Reuters"], []),
        (["BUSINESS", "MAIZE PRICES RISE IN KISUMU!", "5 min read", "Share"], []),
        (["Maize prices rise in Kisumu", "Maize prices rise in Kisumu"], []),
        (["Maize prices rise in Kisumu | The Citizen"], []),
        (["Maize prices rise in Kisumu", "A short line of its own"], ["A short line of its own"]),
        (["Another headline of the page"], ["Another headline of the page"]),
    ],
)
def test_a_title_in_the_first_lines_is_cut_with_what_belongs_to_it(before, after):
    text = "\n".join([*before, PROSE, PROSE])
    assert without_title(text, "Maize prices rise in Kisumu") == "\n".join([*after, PROSE, PROSE])


def test_prose_that_names_the_title_stays():
    for text in (f"{PROSE}\nMaize prices rise in Kisumu\n{PROSE}", PROSE, "", "Maize prices rise"):
        assert without_title(text, "Maize prices rise in Kisumu") == text
    assert without_title(f"Rain\n{PROSE}", "Rain") == f"Rain\n{PROSE}"  # too short to be sure
    assert without_title("Maize prices rise in Kisumu", "Maize prices rise in Kisumu")


@pytest.mark.parametrize("parts", [400, 3000])
def test_a_title_of_nothing_but_the_outlet_s_name_ends_no_run(parts):
    title = "|".join(["a"] * parts)
    assert without_site(title, host="a.com") in ("a", title)


def test_a_run_of_white_space_takes_no_time():
    text = "Rain" + " " * 50_000 + "fell\nThe council met."
    started = time.process_time()
    assert without_title(text, "Maize prices rise in Kisumu") == text
    assert time.process_time() - started < 2
