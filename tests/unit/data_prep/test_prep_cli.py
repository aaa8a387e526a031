"""`geo-nemo prep`: its tables, its plan, its files of settings, and its exit codes."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from tests.support.command import call
from tests.unit.data_prep.read.samples import PAGE, response, warc_record
from tests.unit.data_prep.worlds import record, records, write_jsonl


@pytest.fixture
def prep(monkeypatch, capsys):
    """Calls geo-nemo prep in a folder: its exit code, what it printed, and to stderr."""

    def called(folder, *arguments):
        monkeypatch.chdir(folder)
        return call(monkeypatch, capsys, "prep", *arguments, COLUMNS="100")

    return called


SETTINGS = (
    "input=in put.jsonl.gz", "output=out put", "tokenizer.vocab_size=400", "execution.workers=1",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    rows = [*records(30), b"{broken", record(99, country="zz")]
    write_jsonl(tmp_path / "in put.jsonl.gz", rows)
    return tmp_path


def row_of(out, name):
    """Cells of the first line of a table that begins with `name`."""
    lines = (line.replace("│", " ").split() for line in out.splitlines())
    return next(cells for cells in lines if cells[: len(name.split())] == name.split())


def test_files_of_a_folder_that_are_passed_over_are_told_and_can_be_named(prep, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    write_jsonl(tmp_path / "in" / "a.jsonl", records(60)[:30])
    write_jsonl(tmp_path / "in" / "b.dat", records(60)[30:])
    write_jsonl(tmp_path / "in" / "deep" / "c.dat", records(60)[30:])
    for name in ("README.md", ".hidden.dat", "n.txt.gz"):
        (tmp_path / "in" / name).write_text("# News")
    settings = ("output=in/out", "tokenizer.vocab_size=400", "execution.workers=1")
    line = (
        "files of other endings, passed over: 2 .dat, 1 .md, 1 .txt.gz; where they hold records, "
        "name them: input='FOLDER/*.dat'"
    )
    assert line in prep(tmp_path, "run", "input=in", *settings, "--dry-run")[1]
    for _ in range(2):  # what prep has written there itself is not told
        code, out, errors = prep(tmp_path, "run", "input=in", *settings)
        assert code == 0 and f"input: {line}" in out, errors
    (note,) = json.loads((tmp_path / "in/out/report.json").read_text())["notes"]
    assert note == {"name": "input", "note": line}
    code, out, errors = prep(tmp_path, "run", "input=in/*.dat", *settings)
    assert code == 0 and "30 documents" in out and "passed over" not in out, errors


def test_tables_show_what_was_kept_and_why_not(prep, folder):
    code, out, errors = prep(folder, "run", *SETTINGS)
    assert code == 0, errors
    assert row_of(out, "Reading broken_json")[2] == "1"
    assert row_of(out, "Origin unknown_country")[2] == "1"
    everything = row_of(out, "All")
    assert sum(map(int, everything[1:4])) == 30
    assert "30 documents" in out and "of 32 records" in out
    assert "store: out put/store" in out and "data card: out put/card.html" in out
    assert "ingest: " in errors and "MB" in errors


def test_one_host_and_whole_hosts_leave_no_test_and_that_is_said(prep, folder):
    write_jsonl(folder / "one.jsonl", [record(n, url=f"https://a.co.uk/{n}") for n in range(20)])
    code, out, errors = prep(folder, "run", "input=one.jsonl", *SETTINGS[1:], "splits.by=host")
    assert code == 0, errors
    assert "There is no validation and no test document: every host has more" in out


def test_the_plan_is_printed_and_nothing_is_written(prep, folder):
    code, out, _ = prep(folder, "run", *SETTINGS, "--dry-run")
    assert code == 0
    assert row_of(out, "documents, about")[2] == "30"
    for name in ("their size", "text, about", "disk, at most about"):
        cells = row_of(out, name)[len(name.split()) :]
        assert cells[1] in ("bytes", "kB", "MB") and float(cells[0]) > 0
    assert row_of(out, "ingest")[1:3] == ["1", "0"]
    assert "known later" in out
    assert not (folder / "out put").exists()


@pytest.mark.very_slow
def test_a_dry_run_of_one_stage_plans_that_stage_alone(prep, folder):
    code, out, errors = prep(folder, "run", *SETTINGS, "--dry-run", "--stage", "ingest")
    assert code == 0, errors
    assert row_of(out, "ingest")[1:3] == ["1", "0"] and "store" not in out
    # Nor does it want what that stage does not.
    code, _, errors = prep(
        folder, "run", *SETTINGS[:2], "tokenizer.vocab_size=90000", "--dry-run", "--stage=ingest"
    )
    assert code == 0, errors
    for stage in ("fingerprint", "tokenizer"):
        for dry in ((), ("--dry-run",)):
            code, _, errors = prep(folder, "run", *SETTINGS, "--stage", stage, *dry)
            assert code == 2 and errors.rstrip().endswith("run geo-nemo prep run first"), errors
    assert not (folder / "out put/work/ingest").exists()


def test_brackets_in_the_tokenizer_s_path_are_no_markup(prep, folder):
    code, _, errors = prep(folder, "run", *SETTINGS)
    assert code == 0, errors
    (folder / "[red]t[/x]").mkdir(parents=True)
    shutil.copy(folder / "out put/tokenizer/tokenizer.model", folder / "[red]t[/x]/t.model")
    (folder / "mine.yaml").write_text(
        "defaults: [prep, _self_]\noutput: o\ninput: in put.jsonl.gz\n"
        "tokenizer: {path: '[red]t[/x]/t.model'}\n"
    )
    code, out, errors = prep(folder, "run", "mine.yaml", "--dry-run")
    assert code == 0, errors
    assert "[red]t[/x]/t.model" in out


def test_settings_may_be_in_a_file_of_the_user_s(prep, folder):
    (folder / "mine.yaml").write_text(
        "defaults: [prep, _self_]\n"
        "output: from file\n"
        "input:\n  - {path: in put.jsonl.gz, name: now, fields: {title: null}}\n"
        "tokenizer: {vocab_size: 400}\n"
    )
    code, out, errors = prep(folder, "run", "mine.yaml", "seed=3", "execution.workers=1")
    assert code == 0, errors
    assert "store: from file/store" in out


def test_one_stage_alone_tells_its_time_only(prep, folder):
    code, out, _ = prep(folder, "run", *SETTINGS, "--stage", "ingest")
    assert code == 0
    assert out.startswith("ingest: ") and out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "no value for input, output"),
        (("input=a", "output=o"), "write geo-nemo prep run input=a"),
        (("run", "input=none.jsonl", "output=o"), "input=none.jsonl: no such file"),
        (("run", *SETTINGS, "tokeniser.path=x"), "did you mean tokenizer?"),
        (("run", *SETTINGS, "annotate.countries=[gb,fr]"), "no document from fr"),
        (("run", *SETTINGS, "tokenizer.path=none.model"), "cannot read tokenizer none.model"),
        (("run", *SETTINGS, "tokenizer.vocab_size=90000"), "set it to "),
        (("run", *SETTINGS, "tokenizer.vocab_size=90000", "--dry-run"), "set a smaller one"),
        (("run", *SETTINGS, "tokenizer.file=x"), "there is path, kind, bos, eos, pad, vocab_size"),
        (("run", "input=hf://datasets/a", "output=o"), "hf:// is not read: hf download"),
        (("run", *SETTINGS, "--stage", "tokenize"), "no stage 'tokenize'; there are ingest,"),
        (("run", *SETTINGS, "--stage", "tokenize", "--dry-run"), "no stage 'tokenize'; there are"),
        (("run", *SETTINGS, "vocab_size=9"), "did you mean tokenizer.vocab_size?"),
        (("run", *SETTINGS, "text=content"), "did you mean fields.text?"),
        (("run", "--input", "a.csv"), "a setting is written input=..."),
        (("run", "in put.jsonl.gz"), "write input=in put.jsonl.gz"),
        (("run", "none.yaml"), "no config none.yaml"),
        (("run", *SETTINGS, "clean.except_rules=[c4.sentence]"), "c4.sentences"),
        (("run", *SETTINGS[:1], "output=o", "execution.executor=slurm"), "sbatch"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(prep, folder, arguments, message):
    code, _, error = prep(folder, *arguments)
    assert code == 2
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (folder / "out put/store").exists()


def test_lost_files_are_told_by_name_and_strict_makes_them_exit_1(prep, folder):
    (folder / "raw" / "may").mkdir(parents=True)
    shutil.move(folder / "in put.jsonl.gz", folder / "raw")
    (folder / "raw/may/junk.parquet").write_bytes(b"no parquet at all")
    whole = write_jsonl(folder / "raw/may/cut.jsonl.gz", records(200)).read_bytes()
    (folder / "raw/may/cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    settings = ("input=raw", *SETTINGS[1:])
    code, out, errors = prep(folder, "run", *settings)
    assert code == 0, errors
    assert "1 file was not read, and of 1 file only a part was." in out
    lines = {line.split(":")[0].strip(): line for line in out.splitlines() if ": " in line}
    assert "damaged_file" in lines["may/junk.parquet"]
    assert "truncated_file" in lines["may/cut.jsonl.gz"] and "(after " in lines["may/cut.jsonl.gz"]
    report = json.loads((folder / "out put/report.json").read_bytes())
    assert {file["name"] for file in report["lost"]} == {"may/junk.parquet", "may/cut.jsonl.gz"}
    # A file is not one record.
    dropped = {name: n for step in report["steps"] for name, n in step["dropped"].items()}
    assert "damaged_file" not in dropped
    for page in ("card.html", "card.md"):
        assert "junk.parquet" in (folder / "out put" / page).read_text()
    code, out, _ = prep(folder, "run", *settings, "--strict")
    assert code == 1 and "1 file was not read" in out
    code, out, errors = prep(folder, "run", *settings, "keep_work=false", "--strict")
    assert code == 1 and "1 file was not read" in out and "Traceback" not in errors, errors
    assert (folder / "out put/drops/damaged_file.jsonl").exists()


def test_strict_is_content_where_only_records_are_lost(prep, folder):
    code, _, errors = prep(folder, "run", *SETTINGS, "--strict")
    assert code == 0, errors


def test_format_and_encoding_may_be_given_for_all_input(prep, tmp_path):
    text = "Le préfet a répété à Orléans que la forêt brûlait."
    (tmp_path / "news").write_bytes(f"url,text\nhttps://a.fr/1,{text}\n".encode("cp850"))
    given = ("input=news", "output=o", "tokenizer.vocab_size=300", "tokenizer.shrink=true")
    code, _, error = prep(
        tmp_path, "run", *given, "format=csv", "encoding=cp850", "--stage", "ingest"
    )
    assert code == 0, error
    assert text in pq.read_table(next((tmp_path / "o").rglob("part-*.parquet")))["text"].to_pylist()


@pytest.mark.parametrize(
    ("record", "hint"),
    [
        ({"_source": {"text": "A text", "url": "https://a.co.ke/1"}}, "fields.text=_source.text"),
        ({"body": "A text", "url": "https://a.co.ke/1"}, "fields.text=body"),
        ({"text": "A text", "link": "https://a.co.ke/1"}, "fields.url=link"),
    ],
)
def test_a_dry_run_names_the_field_that_is_there_instead(prep, tmp_path, record, hint):
    (tmp_path / "news.jsonl").write_text(json.dumps(record) + "\n")
    code, _, error = prep(tmp_path, "run", "input=news.jsonl", "output=o", "--dry-run")
    assert code == 2 and error.rstrip().endswith(f"give {hint}")


def test_a_dry_run_names_the_column_that_is_there_instead(prep, tmp_path):
    (tmp_path / "news.csv").write_text("Link;Content\nhttps://a.co.ke/1;Some text\n")
    code, _, error = prep(tmp_path, "run", "input=news.csv", "output=o", "--dry-run")
    assert code == 2
    assert "no column 'text' among 'Link', 'Content': give fields.text=Content" in error


@pytest.mark.very_slow
def test_pages_that_were_cut_off_when_fetched_are_kept_and_told(prep, tmp_path):
    def page(number, **headers):
        story = PAGE.format(i=number, day=2).replace("paragraph", f"paragraph {number * 7919}")
        if number == 33:
            story = story.replace("tells", "tells\ufffd")
        return warc_record(
            response(story.encode()), number=number,
            WARC_Target_URI=f"https://news{number}.co.ke/{number}", **headers,
        )  # fmt: skip

    pages = [page(n) for n in range(30)]
    pages += [page(n, WARC_Truncated="length") for n in range(30, 33)]
    (tmp_path / "a.warc").write_bytes(b"".join([*pages, page(33, WARC_Truncated="disconnect")]))
    given = ("input=a.warc", "output=o", "tokenizer.vocab_size=300", "tokenizer.shrink=true")
    code, out, errors = prep(tmp_path, "run", *given)
    assert code == 0, errors
    told = (
        "4 records are marked by the web archive as cut off when fetched (WARC-Truncated: "
        "disconnect 1, length 3); the texts may end early."
    )
    lost = "1 record has characters that could not be read, here or before (U+FFFD)"
    for text in (out, *((tmp_path / "o" / name).read_text() for name in ("card.md", "card.html"))):
        assert told in text and lost in text
    report = json.loads((tmp_path / "o/report.json").read_bytes())
    assert report["truncated"] == {"disconnect": 1, "length": 3} and report["found"] == 34
    assert report["damaged"] == 1


@pytest.mark.very_slow
def test_ids_that_are_numbers_of_rows_are_told_and_can_be_left_out(prep, tmp_path):
    for name, first in (("a", 0), ("b", 20)):
        rows = [row | {"id": n} for n, row in enumerate(records(40)[first : first + 20])]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    settings = ("input=*.jsonl", "output=o", "tokenizer.vocab_size=300", "tokenizer.shrink=true")
    code, out, errors = prep(tmp_path, "run", *settings)
    assert code == 0, errors
    told = "20 documents were dropped for an id that an earlier one has, with another text. Where"
    assert told in out and told in (tmp_path / "o/card.md").read_text()
    code, out, errors = prep(tmp_path, "run", *settings, "fields.id=null")
    assert code == 0 and "dropped for an id" not in out, errors
