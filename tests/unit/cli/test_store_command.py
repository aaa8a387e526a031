"""`geo-nemo store`: what each command prints and writes, its help, and how it exits."""

import json
import re
import shlex
import shutil
import sys
from types import SimpleNamespace

import pytest

from data_prep.store_tools import export as export_module
from geo_nemo.cli import main as cli
from geo_nemo.cli.store import command as store_group
from geo_nemo.cli.store_stats import octaves
from geo_nemo.cli.units import size_text
from geo_nemo.reporting.tables import short
from geo_nemo.store import TokenStore
from tests.unit.data_prep.store_tools.worlds import Text, content_hash, write_store, write_tokenizer

TRAIN = [
    Text(
        f"Story {i} <b>of</b> the day.", f"Title {i}", ("gb", "ke", "us")[i % 3], f"h{i % 4}.com",
        f"/{i}", year=2018 + i % 4, quality=10 * i % 101, source=("now", "web")[i % 2],
    )
    for i in range(12)
]  # fmt: skip
TEST = [Text(f"Held out {i}", f"Test {i}", "gb") for i in range(3)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store; one that has two of its texts and one of its own; one of another tokenizer."""
    root = tmp_path_factory.mktemp("stores")
    tokenizer = write_tokenizer(root, "llama_3")
    other = Text("Only here", "Own", "us", "h9.com")
    leaked = Text(TEST[0].body, "Leak", "us", "h9.com")
    return {
        "news": write_store(root / "news", tokenizer, {"train": TRAIN, "test": TEST}, 5),
        "more": write_store(root / "more", tokenizer, {"train": [TRAIN[0], leaked, other]}, 5),
        "spm": write_store(root / "spm", write_tokenizer(root, "sentencepiece"), {"train": TRAIN}),
    }


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geo-nemo", "store", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return call


def cells(out: str) -> list[list[str]]:
    """The rows of the tables."""
    lines = (re.split(r"[\u2502\u2503]", line) for line in out.splitlines())
    return [[cell.strip() for cell in line[1:-1]] for line in lines if len(line) > 2]


@pytest.mark.parametrize(
    "name", ["verify", "stats", "inspect", "export", "merge", "sample", "push", "pull"]
)
def test_help_has_an_example_that_the_command_takes(run, name):
    status, out, _ = run(name, "--help")
    assert status == 0
    example = re.search(rf"Example: geo-nemo store {name} (.*)", " ".join(out.split()))[1]
    assert not re.search(r"[|<>*]", re.sub(r"'[^']*'", "", example))  # the shell's
    context = store_group.commands[name].make_context(name, shlex.split(example))
    assert context.params


def test_the_group_lists_its_commands_and_the_nearest_name(run):
    assert run("--help")[1].count("Example: geo-nemo store") == 1
    status, _, err = run("exprot")
    assert (status, err) == (2, "geo-nemo: no command 'exprot' of store; did you mean export?\n")


def test_verify_says_whole_or_names_every_broken_shard(run, stores, tmp_path):
    store = shutil.copytree(stores["news"], tmp_path / "copy")
    status, out, _ = run("verify", store)
    assert status == 0
    expected = f"{store}: whole, 15 documents in 4 shards, "
    assert out.startswith(expected)
    assert TokenStore.open(store).hash in out
    body = store / "train/00001/body.bin"
    body.write_bytes(bytes(body.stat().st_size))
    (store / "test/00000/year.bin").unlink()
    status, out, err = run("verify", store)
    assert status == 1
    assert f"{body} does not match the manifest's hash" in out
    assert f"{store / 'test/00000/year.bin'} is missing" in out
    last = err.splitlines()[-1]
    assert last.startswith(f"geo-nemo: {store}: 2 of 4 shards broken (test/00000, train/00001); ")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[: len(text) // 2], "manifest.json is no manifest of format 3"),
        (lambda text: text.replace('"documents": 12', '"documents": 13', 1), "do not add up"),
    ],
)
def test_a_damaged_manifest_is_a_finding(run, stores, tmp_path, spoil, words):
    store = shutil.copytree(stores["news"], tmp_path / "copy")
    manifest = store / "manifest.json"
    manifest.write_text(spoil(manifest.read_text()))
    status, out, err = run("verify", store)
    assert (status, out) == (1, "")
    assert err.startswith("geo-nemo: ") and err.count("\n") == 1
    assert words in err


def test_a_store_of_another_format_is_no_finding(run, stores, tmp_path):
    store = shutil.copytree(stores["news"], tmp_path / "copy")
    manifest = store / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"format_version": 3', '"format_version": 9'))
    status, _, err = run("verify", store)
    assert status == 2
    assert "format 9" in err


def test_stats_prints_tables_and_writes_json_and_a_page(run, stores, tmp_path):
    json_path, page = tmp_path / "stats.json", tmp_path / "stats.html"
    status, out, _ = run("stats", stores["news"], "--json", json_path, "--html", page, "--top", "1")
    assert status == 0
    rows = cells(out)
    assert ["train", "12"] in [row[:2] for row in rows]
    assert ["2 others", ""] in [row[:2] for row in rows]
    found = json.loads(json_path.read_bytes())
    assert (found["documents"], len(found["countries"]), len(found["hosts"])) == (15, 3, 1)
    html = page.read_text()
    assert html.count("<svg") == 2 * 4  # countries, years, lengths, quality; wide and narrow
    assert "15 documents with" in html
    assert "2019" in html
    assert not re.search(r"""(src|href)=["'](?!#)""", html)
    assert "http" not in html
    assert "prefers-color-scheme: dark" in html


def test_brackets_in_a_path_and_a_source_are_no_markup(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # short names: none is cut to fit its column
    texts = [Text("One", "A", "gb", source="[/now]"), Text("Two", "B", "us", source="[red]web")]
    tokenizer = write_tokenizer(tmp_path, "sentencepiece")
    store = write_store(tmp_path / "[bold]a", tokenizer, {"train": texts})
    write_store(tmp_path / "b[red]", tokenizer, {"train": texts[:1]})
    status, out, _ = run("stats", store)
    assert status == 0
    assert "[bold]a" in out and "[/now]" in out and "[red]web" in out
    status, out, _ = run("inspect", store)
    assert status == 0 and "[bold]a" in out
    status, out, _ = run("merge", "[bold]a", "b[red]", "--out", "c")
    assert status == 0 and "b[red]" in "".join("".join(row) for row in cells(out))


def test_a_page_of_one_year_has_no_parts_of_a_year(run, stores, tmp_path):
    from geo_nemo.cli.store_page import _years_plot

    year = SimpleNamespace(name="2026", tokens=1_340_000, documents=1223)
    labels = re.findall(r">\s*(20\d\d[^<]*?)\s*<", _years_plot([year]))
    assert labels == ["2026", "2026"]  # wide and narrow


def test_the_page_of_a_store_without_years_and_quality_leaves_them_out(run, stores, tmp_path):
    page = tmp_path / "stats.html"
    assert run("stats", stores["news"], "--split", "test", "--html", page)[0] == 0
    html = page.read_text()
    assert 'id="years"' not in html
    assert 'id="quality"' not in html
    assert html.count("<svg") == 2 * 2


def test_inspect_shows_columns_text_and_mask(run, stores):
    status, out, _ = run("inspect", stores["news"], "4", "--policy", "country,url")
    assert status == 0
    columns = dict(cells(out))
    assert columns["document"] == "4 of 12 in train"
    assert columns["url"] == "https://h0.com/4"
    assert columns["country"] == "ke, Africa"
    assert (columns["year"], columns["quality"], columns["source"]) == ("2018", "40", "now")
    assert columns["hash"] == f"{content_hash(TRAIN[4].body):016x}"
    assert "COUNTRY: ke" in out
    assert "Story 4 <b>of</b> the day." in out


def test_inspect_lists_ids_and_masks(run, stores):
    status, out, _ = run("inspect", stores["news"], "--policy", "country", "--ids")
    assert status == 0
    rows = [row for row in cells(out) if len(row) == 5 and row[0].isdecimal()]
    store = TokenStore.open(stores["news"])
    tokenizer, split = store.tokenizer(), store.split("train")
    text = [*split.title(0).tolist(), *tokenizer.encode("CONTENT:"), *split.body(0).tolist()]
    head = tokenizer.encode("COUNTRY: gb\n\nTITLE:")
    assert [int(row[1]) for row in rows] == [
        tokenizer.bos_id, *head, *text, tokenizer.eos_id
    ]  # fmt: skip
    trained = [row[3] in ("title", "body", "eos") for row in rows]
    assert [row[4] == "1" for row in rows] == trained
    assert {row[3] for row in rows} == {"bos", "metadata", "label", "title", "body", "eos"}


def test_inspect_appended_metadata_is_trained_and_said_to_be(run, stores):
    _, out, _ = run("inspect", stores["news"], "--policy", "url", "--position", "append", "--ids")
    rows = [row for row in cells(out) if len(row) == 5 and row[3] == "metadata"]
    assert rows
    assert {row[4] for row in rows} == {"1"}
    _, out, _ = run("inspect", stores["news"], "--policy", "url", "--position", "append")
    assert "metadata, trained" in out
    assert "metadata, not trained" not in out


def test_inspect_finds_by_text_and_hash_and_writes_an_escaped_page(run, stores, tmp_path):
    page = tmp_path / "document.html"
    status, out, _ = run("inspect", stores["news"], "--find", "Story 7", "--html", page)
    assert status == 0
    assert "7 of 12 in train" in out
    html = page.read_text()
    assert "<b>" not in html
    assert "&lt;" in html
    assert not re.search(r"""(src|href)=["']""", html)
    wanted = f"{content_hash(TEST[2].body):016x}"
    status, out, _ = run("inspect", stores["news"], "--split", "test", "--id", wanted, "--tokens")
    assert status == 0
    assert "2 of 3 in test" in out
    assert out.count("\u2502") > 15


@pytest.mark.parametrize("kind", ["llama_3", "sentencepiece"])
def test_characters_of_several_tokens_are_shown_whole(run, tmp_path, kind):
    path = write_tokenizer(tmp_path, kind)
    store = write_store(tmp_path / "s", path, {"train": [Text("\u4f60 a\ufffd\u597d", "")]})
    _, out, _ = run("inspect", store, "--policy", "none", "--tokens")
    text = out.split("\u2514")[-1]
    assert "\u22ef\u2502\u22ef\u2502\u4f60\u2502" in text.replace(" \u22ef", "\u22ef")
    assert text.replace("\u2502", "").replace("\u22ef", "").count("\ufffd") == 1
    assert "\u597d\u2502" in text


def test_export_says_what_it_wrote_and_that_it_was_checked(run, stores, tmp_path):
    status, out, _ = run("export", stores["news"], "--out", tmp_path / "x", "--policy", "none")
    assert status == 0
    assert out.startswith("12 documents, ")
    assert "12 documents compared with their whole text: equal" in out
    assert (tmp_path / "x.idx").read_bytes()[:9] == b"MMIDIDX\0\0"
    status, out, _ = run("export", stores["news"], "--out", tmp_path / "y", "--tokens", "trained",
                         "--where", "country=gb|ke,year>=2020")  # fmt: skip
    assert status == 0
    assert out.startswith("4 documents, ")
    assert "compared" not in out


def test_merge_counts_what_it_leaves_out(run, stores, tmp_path):
    out_store = tmp_path / "merged"
    status, out, _ = run("merge", stores["news"], stores["more"], "--out", out_store)
    assert status == 0
    rows = cells(out)
    assert [str(stores["more"]), "train", "1", "1", "1"] in rows
    assert rows[-1] == ["all", "", "16", "1", "1"]
    assert run("verify", out_store)[0] == 0


def test_sample_says_what_it_drew(run, stores, tmp_path):
    status, out, _ = run("sample", stores["news"], "--out", tmp_path / "s", "--documents", "100",
                         "--where", "country=gb")  # fmt: skip
    assert status == 0
    assert out.startswith("7 of 7 documents, 1 country; train 4, validation 0, test 3\n")
    assert "fewer than 100: no more match" in out
    assert run("verify", tmp_path / "s")[0] == 0


MISTAKES = [
    (("verify", "/nowhere"), "no token store at /nowhere"),
    (("stats", "/nowhere"), "no token store at /nowhere"),
    (("stats", "{news}", "--split", "tets"), "no split tets, only train"),
    (("stats", "{news}", "--json", "/nowhere/x.json"), "cannot write /nowhere/x.json"),
    (("inspect", "{news}", "12"), "INDEX goes from 0 to 11"),
    (("inspect", "{news}", "--policy", "contry"), "did you mean country"),
    (
        ("inspect", "{news}", "--policy", "quality:coarse"),
        "coarse: quality is written as fine here",
    ),
    (
        ("inspect", "{news}", "--policy", "date:week"),
        "--policy date:week: date is written as day or",
    ),
    (("inspect", "{news}", "--split", "validation"), "split validation"),
    (("export", "{news}", "--out", "{tmp}"), "is a folder"),
    (("export", "{news}", "--out", "{tmp}/x", "--where", "yaer=2020"), "did you mean year"),
    (("export", "{news}", "--out", "{tmp}/x", "--split", "tets"), "no split tets"),
    (("export", "{news}", "--out", "/proc/nowhere/x"), "cannot write"),
    (("merge", "{news}", "{spm}", "--out", "{tmp}/x"), "another tokenizer"),
    (("merge", "{news}", "/nowhere", "--out", "{tmp}/x"), "no token store at /nowhere"),
    (("merge", "{news}", "{more}", "--out", "{spm}"), "is a token store already"),
    (("sample", "{news}", "--out", "{tmp}", "--documents", "1"), "is no token store"),
    (("sample", "{news}", "--out", "{tmp}/x", "--documents", "0"), "--documents"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_mistakes_are_one_line_and_exit_2(run, stores, tmp_path, arguments, words):
    names = {"tmp": tmp_path, **stores}
    status, _, err = run(*(argument.format(**names) for argument in arguments))
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("geo-nemo: ")
    assert words in last
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_export_in_the_way_of_other_files_is_refused(run, stores, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"theirs")
    status, _, err = run("export", stores["news"], "--out", tmp_path / "x")
    assert status == 2
    assert f"x.bin exists and was not made by {export_module.MADE_BY}" in err


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (999_600, "1M"), (4.2e10, "42B")],
)
def test_short_numbers(value, text):
    assert short(value) == text
    assert [short(n, ".4g") for n in (999_600, 999_960)] == ["999.6k", "1M"]
    assert [size_text(n) for n in (1, 1023, 1024 * 1024 - 1)] == ["1.0 B", "1023.0 B", "1.0 MiB"]


def test_octaves_join_bins_and_leave_no_gap():
    from data_prep.store_tools.stats import Bin

    bins = [Bin(low=low, high=None, documents=n) for low, n in ((0, 1), (1, 2), (5, 3), (7, 4))]
    assert [(b.low, b.high, b.documents) for b in octaves(bins)] == [
        (0, 1, 1), (1, 2, 2), (2, 4, 0), (4, 8, 7)
    ]  # fmt: skip
