"""Credentials of URLs never reach an excerpt, an error's detail or a stored URL."""

import json

import can_ada
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from data_prep.annotate import without_credentials
from data_prep.annotate.urls import parse_url
from data_prep.quarantine import Rejected

SECRETS = [
    "https://user:hunter2@host.org/x",
    "http://hunter2@host.org",
    "HTTPS://user:hunter2@host.org:8080/x?y#z",
    "https:user:hunter2@host.org/",
    "https:\\\\user:hunter2@host.org/",
    "https://\n/user:hunter2@host.org/",
    "//\t/user:hunter2@host.org/",
    "//user:hunter2@host.org/",
    "https://user:a@hunter2@host.org/",
    "https://user:my hunter2@host.org/",
    "https://user:hunter2/x@host.org/",
    'https://us"er:hunt"hunter2@host.org/',
    "user:hunter2@host.org/path",
    "ftp://user:hunter2@host.org/",
    "https://a.com/?next=https://user:hunter2@host.org/",
    "https://a.com/?next=https%3A%2F%2Fuser%3Ahunter2%40host.org%2F",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_goes_from_any_text(url):
    record = {"id": 1, "url": url, "text": "A text."}
    for text in (
        url,
        f"scheme x: of {url!r}",
        f"see {url} for more",
        json.dumps(record),
        json.dumps(record).replace("/", "\\/"),
    ):
        assert "hunter2" not in without_credentials(text), text


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_goes_from_what_is_stored_or_told(url):
    try:
        found = parse_url(url)
    except Rejected as verdict:
        assert "hunter2" not in verdict.detail
    else:
        assert "hunter2" not in found.href + found.path


@pytest.mark.parametrize("end", range(len("https://user:h"), len("https://user:hunter2@h")))
def test_a_password_goes_where_the_excerpt_is_cut_within_it(end):
    text = '{"url": "https://user:hunter2@host.org/"}'
    cut = text[: len('{"url": "') + end]
    assert "h" not in without_credentials(cut).partition("//")[2].removeprefix("h")
    assert "hunt" not in without_credentials(cut)


@pytest.mark.parametrize(
    "text",
    [
        "https://medium.com/@user/post",
        "https://host.org:8080/@user",
        '{"url": "https://host.org/x", "text": "write to a@b.org"}',
        "mail a@b.org or call 12:30",
        "https://host.org/x?email=a%40b.org",
        "no URL at all: 3 // 4",
    ],
)
def test_what_is_no_credential_stays(text):
    assert without_credentials(text) == text


@settings(max_examples=300, deadline=None)
@given(
    user=st.text(st.characters(codec="utf-8"), max_size=6),
    password=st.text(st.characters(codec="utf-8"), max_size=8),
)
@example(user="a", password="b\\c")
@example(user="\n/", password="")
@example(user="/\t\r\\\n/", password='"')
def test_whatever_the_parser_takes_for_a_password_goes(user, password):
    url = f"https://{user}:{password}SeCrEt@host.org/x"
    try:
        parsed = can_ada.parse(url)
    except ValueError:
        assume(False)
    assume("SeCrEt" in parsed.password + parsed.username)
    if '"' not in user + password:  # outside JSON it may end the URL
        assert "SeCrEt" not in without_credentials(url)
    assert "SeCrEt" not in without_credentials(json.dumps({"url": url}))
    assert "SeCrEt" not in without_credentials(json.dumps({"url": url}, ensure_ascii=False))
