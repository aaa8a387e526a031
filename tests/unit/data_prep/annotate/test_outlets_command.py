"""`geo-nemo outlets`: what a table changes, also in a store, and a host's answer."""

import pytest
from click.testing import CliRunner

from data_prep.annotate.outlet_changes import compare, store_changes
from data_prep.annotate.outlets import default_outlets, load_outlets, read_table
from geo_nemo.cli import codes, main
from geo_nemo.cli.outlets import command
from geo_nemo.config import UserError
from geo_nemo.store import TokenStore
from tests.unit.store.worlds import write_store

TABLE = "host,country,note\nmynews.com,KE\nbbc.com,us\nft.com,gb\nwww.the.co.uk,uk\nodd.co.uk,ie\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(TABLE)
    return path


def run(*arguments) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_each_row_is_compared_with_what_holds_without_it(table):
    found = [(c.row.host, c.change, c.before, c.by) for c in compare(read_table(str(table)))]
    assert found == [
        ("mynews.com", "new", None, ""),
        ("bbc.com", "other country", "gb", "international"),
        ("ft.com", "same", "gb", "international"),
        ("www.the.co.uk", "same", "gb", "domain"),
        ("odd.co.uk", "other country", "gb", "domain"),
    ]


def test_check_says_what_changes(table):
    output = run("check", table)
    assert "holds, 5 rows: 1 new, 2 other country, 2 same" in output
    assert "mynews.com" in output
    assert "gb by publisher of an" in output
    assert "ft.com" not in output


def test_check_prints_no_more_rows_than_asked_for(table):
    output = run("check", table, "--rows", 1)
    assert "and 2 more; --rows 0 prints all" in output
    assert "odd.co.uk" not in output
    assert "odd.co.uk" in run("check", table, "--rows", 0)


def test_a_bad_table_is_one_line_that_names_the_line(tmp_path, capsys, monkeypatch):
    bad = tmp_path / "bad.csv"
    bad.write_text("host,country\na.com,zz\n")
    monkeypatch.setattr("sys.argv", ["geo-nemo", "outlets", "check", str(bad)])
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert exit_.value.code == codes.MISTAKE
    assert capsys.readouterr().err == (
        f"geo-nemo: {bad} line 2: 'a.com,zz' is no host,country\n"
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("run"))


def test_the_hosts_of_a_store_that_change_are_found_with_their_documents(store):
    before = load_outlets(None)
    after = before | {"nytimes.com": "ca", "the-star.co.ke": "tz", "not-there.com": "us"}
    opened = TokenStore.open(store)
    assert store_changes(opened, before, before) == []
    changes = {c.host: c for c in store_changes(opened, before, after)}
    assert set(changes) == {"nytimes.com", "the-star.co.ke"}
    assert (changes["nytimes.com"].before, changes["nytimes.com"].after) == ("us", "ca")
    assert (changes["the-star.co.ke"].before, changes["the-star.co.ke"].after) == ("ke", "tz")
    for change in changes.values():
        expected = {}
        for name in opened.splits:
            if opened.manifest.splits[name].documents:
                split = opened.split(name)
                for i in range(len(split)):
                    record = split.record(i)
                    if record.host == change.host:
                        expected[record.country] = expected.get(record.country, 0) + 1
        assert change.documents == expected != {}


def test_diff_finds_the_store_in_the_output_folder(store, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("host,country\nnytimes.com,ca\n")
    output = run("diff", store.parent, table)
    assert "1 of 4 hosts would have another country, with 1 document\n" in output
    assert run("diff", store, table) == output
    assert "0 of 4 hosts" in run("diff", store, table, "--before", table)
    with pytest.raises(UserError, match="no token store at"):
        CliRunner().invoke(command, ["diff", str(tmp_path / "x"), str(table)],
                           catch_exceptions=False)  # fmt: skip


def test_show_tells_country_and_evidence(table):
    output = run("show", "bbc.co.uk", "https://u:pw@www.bbc.com/news", "--table", table)
    lines = [line.split() for line in output.splitlines()]
    assert ["bbc.co.uk", "│", "bbc.co.uk", "│", "gb", "│", "Europe", "│", "0.80"] in [
        line[1:10] for line in lines
    ]
    assert ["www.bbc.com", "│", "bbc.com", "│", "us", "│", "America", "│", "0.85"] in [
        line[1:10] for line in lines
    ]
    assert "pw" not in output


def test_show_tells_why_there_is_none():
    output = run("show", "startup.io", "javascript:x", "http://[2001:db8::1]/")
    assert "neither outlet table nor domain tells one" in output
    assert "the URL is neither http nor https" in output
    assert "[2001:db8::1]" in output


@pytest.mark.parametrize("name", ["check", "diff", "show"])
def test_each_command_has_an_example(name):
    assert f"Example: geo-nemo outlets {name} " in run(name, "--help")


def test_the_default_table_is_not_changed_by_one_s_own(table):
    before = dict(default_outlets())
    assert load_outlets(str(table))["bbc.com"] == "us"
    assert default_outlets() == before
