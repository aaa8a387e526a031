"""Titles without the site's name, and bodies without the title again."""

import time

import pytest

from data_prep.titles import without_byline, without_site, without_title

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
        ("玉米价格上涨-新华网", "", "www.news.cn", "玉米价格上涨", "玉米价格上涨"),
        ("大雨　明日まで：毎日新聞", "毎日新聞", "mainichi.jp", "", "大雨　明日まで"),
        ("大雨：明日まで", "毎日新聞", "mainichi.jp", "", "大雨：明日まで"),
        ("옥수수 값 상승-경제ㅣ한국일보", "한국일보", "www.hankookilbo.com", "", "옥수수 값 상승"),
        ("Maize rises * The Star * by Jane Doe", "The Star", "x.org", "", "Maize rises"),
        ("Rated 5 * by many", "The Star", "x.org", "", "Rated 5 * by many"),
        ("Maize rises in Paris-Étoile", "", "x.org", "", "Maize rises in Paris-Étoile"),
        ("Maize rises - Business - The Star", "The Star", "x.org", "", "Maize rises"),
        ("Kenya: maize rises", "The Star", "kenya.example.com", "", "Kenya: maize rises"),
        ("snake_case is back", "Case", "x.org", "", "snake_case is back"),
        ("Maize rises | Politics | The Guardian", "", "theguardian.com", "", "Maize rises"),
        ("Maize rises | India News - Times of India", "", "timesofindia.com", "", "Maize rises"),
        ("Maize rises – Nation – Kenya and world news", "Nation", "x.org", "", "Maize rises"),
        ("Maize rises – DW – 05/01/2024", "DW", "www.dw.com", "", "Maize rises"),
        ("Maize rises — Premium Times Nigeria", "", "www.premiumtimesng.com", "", "Maize rises"),
        ("Maize rises :: The Punch", "Punch Newspapers", "punchng.com", "", "Maize rises"),
        ("Maize rises | www.thecitizen.co.tz", "", "thecitizen.co.tz", "", "Maize rises"),
        ("Maize rises- The Citizen", "The Citizen", "thecitizen.co.tz", "", "Maize rises"),
        ("Maize rises (The Citizen)", "The Citizen", "thecitizen.co.tz", "", "Maize rises"),
        ("Maize rises ~ The Citizen", "The Citizen", "thecitizen.co.tz", "", "Maize rises"),
        ("A day at The Citizen", "The Citizen", "thecitizen.co.tz", "", "A day at The Citizen"),
        ("Row at the BBC - again - in May", "", "dawn.com", "", "Row at the BBC - again - in May"),
        # A dash of the title's own.
        ("Rain - then the flood", "The Star", "the-star.co.ke", "", "Rain - then the flood"),
        ("Spider-Man is back", "", "man.com", "", "Spider-Man is back"),
        ("Back to Spider-Man", "Man", "x.org", "", "Back to Spider-Man"),
        ("| Nation | Maize rises", "Nation", "x.org", "", "| Nation | Maize rises"),
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
        (["Maize prices rise in Kisumu", "Jane Doe", "Just now"], []),
        (["Maize prices rise in Kisumu", "Jane Doe | Reporter", "10:00 AM EAT"], []),
        (["Maize prices rise in Kisumu", "Facebook", "WhatsApp", "Copy link", "0 Comments"], []),
        (["Maize prices rise in Kisumu", "Also read: The roads", "Reading time: 3 minutes"], []),
        (["Maize prices rise in Kisumu", "A market. (File photo: AP)"], []),
        (["Maize prices rise in Kisumu", "A market on Monday. AFP/Getty"], []),
        (["BREAKING: Maize prices rise in Kisumu"], []),
        (["EXCLUSIVE | Maize prices rise in Kisumu"], []),
        (["Maize prices", "rise in Kisumu", "By Jane Doe and Joe Roe in Kisumu"], []),
        (["Ｍaize prices rise in Kisumu"], []),
    ],
)
def test_a_title_in_the_first_lines_is_cut_with_what_belongs_to_it(before, after):
    text = "\n".join([*before, PROSE, PROSE])
    assert without_title(text, "Maize prices rise in Kisumu") == "\n".join([*after, PROSE, PROSE])


def test_names_of_more_than_authors_are_a_list_that_stays():
    title, names = "The winners of the year", ["Jane Doe", "Joe Roe, mayor", "Ann Poe"]
    for count, rest in ((2, ""), (3, "\n".join(names) + "\n")):
        text = "\n".join([title, "3 May 2024", *names[:count], PROSE])
        assert without_title(text, title) == rest + PROSE


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


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("Mayor&#039;s roads are to be mended", "Mayor’s roads are to be mended"),
        ("Cafe\u0301 owners & the town's roads", "Café owners & the town’s roads"),
        ("The town's roads are to be mended", "BBC News - The town's roads are to be mended"),
    ],
)
def test_a_title_is_known_however_it_is_written(line, title):
    assert without_title(f"{line}\n{PROSE}", title) == PROSE


@pytest.mark.parametrize(
    "line",
    [
        "By Jane Doe, Staff Writer", "BY JANE DOE", "By admin", "Von Anna Weber und Jan Maier",
        "Published 3 May 2024", "Updated: 10:00 GMT", "3 May 2024", "May 3, 2024 10:00 am",
        "Monday, May 3", "2024-05-03", "5 hours ago", "3 min read", "Photo: Reuters",
        "Photo by Jane Doe", "Share this article", "Advertisement", "Follow us on Google News",
        "Read more: The roads", "12 shares", "(Photo: AP)", "Facebook, Twitter, WhatsApp",
        "Monday, May 3, 2024.", "May 3, 2024, 10.30 a.m.", "Share - Print", "10.30 EAT",
    ],
)  # fmt: skip
def test_lines_about_an_article_go_from_its_start(line):
    assert without_byline(f"{line}\n{PROSE}") == PROSE


@pytest.mark.parametrize(
    "line",
    [
        "Share prices fell in Lagos.", "By Tuesday the water had gone.", "By land or by sea.",
        "Sunday Oliseh has resigned.", "Monday was cold.", "March 5 is the day of the vote.",
        "12 May was hot.", "5 days of rain fell.", "Comment is free.", "Image is all.",
        "Print is not dead.", "Source code was leaked.", "Save the whales.", "Par for the course.",
        "Updated rules bind schools.", "Created in 1900, the town is old.", "Date palms died.",
        "Di and Charles met.", "Photo journalism is hard.", "Follow us to the end of it.",
        "Jane Doe is the mayor.", "Email is down.", "Related parties met.",
        "Facebook, Google and Twitter were fined.", "Facebook-owned WhatsApp is down.",
        "Monday, the court ruled.", "May 5, he resigned.", "X-rays show a break.",
        "Shares on Wall Street fell.", "5.25 per cent is the new rate.", "Listen to the river.",
        "5 days ago the mayor resigned.", "Advertisement spending fell.", "Print, too, is dead.",
        "Published in 1925, it sold well.", "Updated only once, it has aged.",
    ],
)  # fmt: skip
def test_a_short_first_sentence_stays(line):
    assert without_byline(f"{line}\n{PROSE}") == f"{line}\n{PROSE}"
    title = "Maize prices rise in Kisumu"
    assert without_title(f"{title}\n{line}\n{PROSE}", title) == f"{line}\n{PROSE}"


def test_a_line_of_signs_takes_no_time():
    started = time.process_time()
    for line in (" | " * 20_000, "By " + "A " * 20_000, "A" + " " * 50_000 + ",", "(" * 50_000):
        without_byline(f"{line}\n{PROSE}")
        without_title(
            f"Maize prices rise in Kisumu\n{line}\n{PROSE}", "Maize prices rise in Kisumu"
        )
        without_site(line, line[:99], "a.com", "A")
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("title", "host"),
    [
        ("Israel - Hamas war: live updates", "www.israelhayom.com"),
        ("India – Pakistan ceasefire holds", "indianexpress.com"),
        ("Kenya – Uganda border reopens", "www.kenyans.co.ke"),
        ("Tariffs on imports - China", "www.chinadaily.com.cn"),
        ("Sunak – what next for the minister", "www.thesun.co.uk"),
        ("Timeline – how it happened", "time.com"),
    ],
)
def test_a_place_or_a_word_that_a_name_only_begins_with_stays_in_a_title(title, host):
    assert without_site(title, host=host) == title


@pytest.mark.parametrize(
    ("name", "host"),
    [("CNNPolitics", "edition.cnn.com"), ("CNNMoney", "money.cnn.com"), ("FoxNews", "www.fox.com")],
)
def test_a_name_may_go_on_with_a_capital(name, host):
    assert without_site(f"Rain falls - {name}", host=host) == "Rain falls"


@pytest.mark.parametrize(
    "line",
    ["Marvel 3 – a review", "Decision 24: what we know", "Marathon 26 | the runners",
     "X (formerly Twitter) goes down"],
)  # fmt: skip
def test_words_that_begin_as_months_are_no_dates_and_x_with_its_old_name_no_button(line):
    assert without_byline(f"{line}\n{PROSE}") == f"{line}\n{PROSE}"


@pytest.mark.parametrize(
    "line", ["3 januar 2024", "Septiembre 3, 2024", "Sept. 3, 2024", "12 decembre 2024"]
)
def test_months_of_other_languages_that_begin_as_in_english_are_dates(line):
    assert without_byline(f"{line}\n{PROSE}") == PROSE
