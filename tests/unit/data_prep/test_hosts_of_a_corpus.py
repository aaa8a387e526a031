"""Hosts that tell no country, and lists of hosts that a corpus may and may not have."""

import csv
import re
import sys
import time

import orjson
import pytest

from data_prep.annotate.host_lists import HostList, HostLists, lists_key
from data_prep.annotate.urls import parse_url
from data_prep.config import Annotate, Prep
from data_prep.graph import run_prep
from data_prep.quarantine import Rejected
from geo_nemo.cli import main
from geo_nemo.config import UserError
from tests.unit.data_prep.worlds import record, write_jsonl


def verdict(url, **settings):
    try:
        HostLists(Annotate(**settings)).check(parse_url(f"https://{url}"))
    except Rejected as rejected:
        return rejected.reason
    return "kept"


def test_lists_allow_block_and_opt_out(tmp_path):
    (tmp_path / "allow").write_text("# ours\nbbc.co.uk\nnation.africa  # Kenya\nx.com/news\n")
    (tmp_path / "block").write_text("spam.bbc.co.uk\nhttps://nation.africa/ads/*\n")
    (tmp_path / "robots.csv").write_text(
        "host,agent,path\nwww.bbc.co.uk,GPTBot,/sounds\n*.out.example,CCBot,/\n"
    )
    lists = {
        "allow_hosts": str(tmp_path / "allow"), "block_hosts": str(tmp_path / "block"),
        "opt_out": [str(tmp_path / "robots.csv")],
    }  # fmt: skip
    assert verdict("www.bbc.co.uk/news/1", **lists) == "kept"
    assert verdict("spam.bbc.co.uk/", **lists) == "host_blocked"
    assert verdict("nation.africa/kenya", **lists) == "kept"
    assert verdict("nation.africa/ads/1", **lists) == "host_blocked"
    assert verdict("x.com/news/1", **lists) == "kept"
    assert verdict("x.com/other", **lists) == "host_not_allowed"
    assert verdict("other.com/", **lists) == "host_not_allowed"
    assert verdict("www.bbc.co.uk/sounds/1", **lists) == "opted_out"
    assert verdict("a.out.example/x", **lists) == "opted_out"
    assert verdict("bbc.co.uk/sounds/1", **lists) == "kept"  # robots.txt is of one host
    assert verdict("notbbc.co.uk/", **lists) == "host_not_allowed"


def test_a_list_that_cannot_be_read_names_its_line(tmp_path):
    (tmp_path / "bad").write_text("a.com\nno host at all\n")
    with pytest.raises(UserError, match=r"block_hosts=.*bad line 2: 'no host at all' is no host"):
        HostLists(Annotate(block_hosts=str(tmp_path / "bad")))
    with pytest.raises(UserError, match=r"cannot read annotate\.opt_out="):
        HostLists(Annotate(opt_out=str(tmp_path / "none")))


def test_a_list_that_changes_is_another_annotation(tmp_path):
    path = tmp_path / "block"
    path.write_text("a.com\n")
    before = lists_key(Annotate(block_hosts=str(path)))
    path.write_text("b.com\n")
    assert lists_key(Annotate(block_hosts=str(path))) != before != "" == lists_key(Annotate())


def outlets(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["geo-nemo", "outlets", *map(str, arguments)])
    monkeypatch.setattr(main, "end_process", lambda code: None)
    main.main()
    return capsys.readouterr().out


@pytest.mark.parametrize("unknown", ["drop", "keep"])
def test_hosts_of_no_country_are_counted_and_filled_in(tmp_path, capsys, monkeypatch, unknown):
    rows = [record(i, country=None, url=f"https://big.example.com/{i}") for i in range(9)]
    rows += [record(i, country=None, url=f"https://small.example.org/{i}") for i in range(9, 12)]
    write_jsonl(tmp_path / "a.jsonl", rows + [record(i) for i in range(20, 60)])
    (tmp_path / "block").write_text("example.net\n")
    write_jsonl(tmp_path / "b.jsonl", [record(99, url="https://example.net/1")])
    annotate = {"on_unknown_country": unknown, "block_hosts": str(tmp_path / "block")}

    def prepare(**changes):
        config = {
            "input": [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")],
            "output": str(tmp_path / "out"), "tokenizer": {"vocab_size": 400},
            "execution": {"workers": 1}, "annotate": annotate | changes,
        }  # fmt: skip
        run_prep(Prep.model_validate(config))
        return orjson.loads((tmp_path / "out/report.json").read_bytes())

    report = prepare()
    assert report["steps"][1]["dropped"]["host_blocked"] == 1
    dropped = 9 * (unknown == "drop")
    assert [(h["host"], h["documents"], h["dropped"]) for h in report["unplaced"]] == [
        ("big.example.com", 9, dropped), ("small.example.org", 3, dropped // 3),
    ]  # fmt: skip
    assert "big.example.com" in (tmp_path / "out/card.html").read_text()
    table = tmp_path / "mine.csv"
    shown = outlets(capsys, monkeypatch, "missing", tmp_path / "out", "--csv", table)
    assert "2 hosts tell no country, with 12 documents" in shown
    assert re.search(r"│ [\d.]+ (?:bytes|kB) ", shown) and "0.0 MB" not in shown
    with table.open() as file:
        found = list(csv.DictReader(file))
    assert [(row["host"], row["documents"]) for row in found] == [
        ("big.example.com", "9"), ("small.example.org", "3"),
    ]  # fmt: skip
    # Filled in for one host; the other row stays open, and says nothing.
    table.write_text(table.read_text().replace("big.example.com,,", "big.example.com,Kenya,"))
    changes = outlets(capsys, monkeypatch, "diff", tmp_path / "out", table)
    assert "big.example.com" in changes and "9 documents" in changes
    assert ("dropped" in changes) == (unknown == "drop")
    report = prepare(outlets=str(table))
    assert [h["host"] for h in report["unplaced"]] == ["small.example.org"]


def test_missing_without_work_says_where_to_look(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["geo-nemo", "outlets", "missing", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2 and "keep_work=true" in capsys.readouterr().err


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_a_table_of_rules_is_read_however_it_parts_its_values(tmp_path, sign):
    rows = [
        ["path", "Rule", "host"], ["/private", "Disallow", "a.com"], ["/", "Allow", "b.com"],
        ["", "disallow:", "c.com"], ["", "Disallow", "d.com"], ["/x", "", "e.com"],
    ]  # fmt: skip
    text = "\ufeff" + "\r\n".join(sign.join(row) for row in rows)
    (tmp_path / "t").write_text(text, encoding="utf-8")
    found = {
        url: verdict(url, opt_out=[str(tmp_path / "t")])
        for url in ("a.com/private/1", "a.com/open", "b.com/1", "c.com/1", "d.com/1", "e.com/x/1")
    }
    assert [url for url, said in found.items() if said == "opted_out"] == [
        "a.com/private/1", "e.com/x/1",
    ]  # fmt: skip


@pytest.mark.parametrize("above", ["", "# ai.txt\n\n"])
def test_a_robots_txt_itself_is_refused_with_what_to_make_of_it(tmp_path, above):
    (tmp_path / "robots.txt").write_text(f"{above}User-agent: *\nDisallow: /private\n")
    with pytest.raises(UserError, match="names no host: make a table of it, with a line host,rule"):
        HostLists(Annotate(opt_out=[str(tmp_path / "robots.txt")]))


def test_a_path_in_another_script_is_as_documents_have_it(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("news.example/m\u00fcnchen\n", encoding="utf-8")
    lists = HostLists(Annotate(opt_out=(str(path),)))
    for address in ("https://news.example/m\u00fcnchen/1", "https://news.example/m%C3%BCnchen/1"):
        with pytest.raises(Rejected, match="opted_out"):
            lists.check(parse_url(address))
    lists.check(parse_url("https://news.example/ulm/1"))


def test_a_list_of_many_paths_of_one_host_takes_time_that_grows_with_them():
    started = time.process_time()
    listed = HostList(("example.com", f"/{number}/") for number in range(200_000))
    assert time.process_time() - started < 20
    assert parse_url("https://www.example.com/199999/x") in listed
