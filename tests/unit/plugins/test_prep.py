"""Filters and readers from outside: in a preparation, and what goes wrong in them."""

import json
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from data_prep.annotate import Annotator
from data_prep.annotate.annotator import annotation_key
from data_prep.clean import Cleaner
from data_prep.config import Annotate, Clean, Limits, Prep, Source
from data_prep.ingest import Ingest
from data_prep.read import Bad, list_files, open_reader
from geo_nemo.config import RunError, UserError, plugins
from geo_nemo.store import TokenStore
from tests.unit.plugins.outside import geo_nemo


def test_a_package_brings_a_filter_a_reader_and_a_tokenizer(prepared):
    out, settings = prepared.folder, prepared.settings
    corpus = [row for path in sorted((out / "corpus").glob("*.parquet")) for row in _rows(path)]
    texts = {row["text"].removesuffix("\n-- sent from my phone") for row in prepared.rows}
    assert {row["text"] for row in corpus} == texts - {prepared.rows[3]["text"]}
    assert {row["title"] for row in corpus} <= {row["title"] for row in prepared.rows}
    report = json.loads((out / "report.json").read_text())
    dropped = {name: n for step in report["steps"] for name, n in step["dropped"].items()}
    assert dropped == {"shouting.capitals": 1, "wrong_type": 1}
    assert "most letters are capitals" in prepared.shown
    kept = json.loads((out / "store" / "manifest.json").read_text())["tokenizer"]
    assert (kept["kind"], kept["vocab_size"], kept["bos"]) == ("bytes", 258, "<s>")
    # The same again takes everything as it is; another threshold reads anew.
    task = out / "work" / "ingest" / "00000"
    before = task.stat().st_ino
    code, _, errors = geo_nemo("prep", "run", *settings)
    assert code == 0, errors
    assert task.stat().st_ino == before
    code, shown, errors = geo_nemo("prep", "run", *settings, "clean.options={shouting: {most: 1}}")
    assert code == 0, errors
    assert "shouting.capitals" not in shown
    assert task.stat().st_ino != before


def test_a_store_whose_tokenizer_s_package_is_not_there_says_so(prepared):
    with pytest.raises(UserError, match=r"^tokenizer.kind: bytes is not a kind of token"):
        TokenStore.open(prepared.folder / "store").tokenizer()


def _rows(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def test_an_unknown_name_and_a_package_that_is_not_there_are_one_line(tmp_path):
    rest = (f"input={tmp_path}", f"output={tmp_path}/out")
    for setting, line in (
        ("clean.rules=[shoutin]", "clean.rules.0: shoutin is not a filter; there is c4, fineweb, "),
        ("clean.rules=[no_such:F]", "clean.rules: no_such:F does not import (ModuleNotFoundError"),
        ("clean.options={c4: {}}", "clean: options of c4, which is not one of rules"),
    ):
        code, _, errors = geo_nemo("prep", "run", *rest, setting)
        assert (code, len(errors.strip().splitlines())) == (2, 1), errors
        assert line in errors
    assert not (tmp_path / "out").exists()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported; its name."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(9))

    def write(text):
        name = f"brought_{tmp_path.name}_{next(count)}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


FILTER = """
from data_prep.clean import Drop

class F:
    reasons = {"a": "of the letter a"}
    def __init__(self, rules, answer=None): self.answer = answer
    def __call__(self, text, document): return %s
"""


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("1 / 0", r"the filter \S+:F, at the document https://bbc.co.uk/x, fails \(ZeroDivisionE"),
        (
            "True",
            r"the filter \S+:F answers True to the document https://bbc.co.uk/x: it must be N",
        ),
        ("' '", r"answers ' ' to the document"),
        ("exit(0)", r"the filter \S+:F, at .* fails \(SystemExit: 0\): mend it or take it out of"),
        (
            "Drop('b', 'why')",
            r"answers Drop\(rule='b', detail='why'\) to .* data_prep.clean.Drop of a;",
        ),
        ("'\\ud800'", r"the filter \S+:F, at .* fails \(UnicodeEncodeError"),
    ],
)
def test_a_filter_that_fails_or_gives_no_verdict_is_named_with_the_document(module, answer, line):
    cleaner = Cleaner(Clean(rules=(f"{module(FILTER % answer)}:F",)))
    document = Annotator(Annotate()).document({"url": "https://bbc.co.uk/x", "text": "text"}, "s")
    with pytest.raises(RunError, match=line) as caught:
        cleaner.clean(document)
    assert "\n" not in str(caught.value)


def test_a_filter_without_reasons_or_with_a_wrong_option_is_refused_at_once(module):
    name = module("class F:\n    def __init__(self, rules): ...\n")
    with pytest.raises(
        UserError, match=r"clean.rules: .*:F has no `reasons`: give its class a dict"
    ):
        Cleaner(Clean(rules=(f"{name}:F",)))
    name = f"{module(FILTER % 'None')}:F"
    with pytest.raises(
        UserError, match=r"clean.rules: .*:F: TypeError: .*'mots'; mend that or take"
    ):
        Cleaner(Clean(rules=(name,), options={name: {"mots": 1}}))


def test_a_name_of_ours_that_another_package_took_is_nothing_to_who_does_not_use_it(monkeypatch):
    points = EntryPoints([EntryPoint("c4", "json:loads", "geo_nemo.filters")])
    monkeypatch.setattr(plugins, "entry_points", lambda **asked: points.select(**asked))
    Cleaner(Clean(rules=("gopher_quality",)))
    with pytest.raises(UserError, match=r"clean.rules: the name c4 stands for .* and json:loads"):
        Cleaner(Clean(rules=("c4",)))


ANNOTATOR = """
class A:
    fields = {"%s": "number"}
    %s
    def __call__(self, document, said): return {}
"""


def test_an_annotator_that_takes_a_field_of_ours_or_has_no_fingerprint_is_one_line(module):
    name = f"{module(ANNOTATOR % ('url', 'pass'))}:A"
    with pytest.raises(UserError, match=r"A: url is built in: choose another name, such as own_u"):
        Annotate(annotators=(name,)).found_fields  # noqa: B018
    name = f"{module(ANNOTATOR % ('q', 'fingerprint = property(lambda self: 1 / 0)'))}:A"
    with pytest.raises(RunError, match=r"A, at its fingerprint, fails \(ZeroDivisionError"):
        annotation_key(Annotate(annotators=(name,)))


def test_a_filter_s_options_its_version_and_its_code_decide_the_key(module, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "t", "url": "https://bbc.co.uk/a"}\n')

    def key(**clean):
        config = Prep(input=str(tmp_path / "a.jsonl"), output=str(tmp_path / "out"), clean=clean)
        (task,) = Ingest(config).tasks()
        return task.key

    code = FILTER % "None"
    one, other = f"{module(code)}:F", f"{module(code + '# changed')}:F"
    first, second = (f"{module(code + f'    version = {n}')}:F" for n in (1, 2))
    keys = [
        key(), key(rules=["c4"]), key(rules=[one]), key(rules=[other]), key(rules=[first]),
        key(rules=[second]), key(rules=[one], options={one: {"answer": 1}}),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key() == key(rules=[]) == key(options={})


READER = """
from data_prep.read import Bad

class R:
    columns = ("url", "body")
    def read(self, file):
        yield {"url": "https://bbc.co.uk/x", "body": "one"}
        yield %s
"""


def read(folder, name, **source):
    (folder / "a.bin").write_bytes(b"SQLite format 3\0")
    (file,) = list_files(Source(path=str(folder / "a.bin"), format=name, **source))
    return list(open_reader(file, Limits()))


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ("1 / 0", "fails (ZeroDivisionError: division by zero)"),
        ("('url', 'text')", "gives tuple, not a dict of its columns or Bad"),
        ("{'text': 't'}", "gives a field 'text', and its columns are url, body"),
        ("{'body': b't'}", "gives body of type bytes, not of JSON's"),
        ("{'body': {'a': {1}}}", "gives body of type dict, not of JSON's"),
        ("None", "gives NoneType, not a dict of its columns or Bad"),
        ("Bad(2, 'broken_json', None)", "gives Bad with detail of type NoneType, not str; mend"),
        ("Bad(2, 'broken_json', '', 'a')", "gives Bad with excerpt of type str, not bytes; mend"),
        ("exit()", "fails (SystemExit: None): mend it"),
        ("Bad(2, 'ugly', '')", "gives the reason 'ugly': use one of data_prep.quarantine"),
    ],
)
def test_a_reader_that_fails_or_lies_is_named_with_file_and_record(module, tmp_path, record, line):
    name = f"{module(READER % record)}:R"
    with pytest.raises(RunError) as caught:
        read(tmp_path, name, fields={"text": "body"})
    assert str(caught.value).startswith(f"the reader {name}, in {tmp_path}/a.bin, record 2, {line}")
    assert "\n" not in str(caught.value)


def test_a_reader_s_records_go_through_the_field_map_and_the_limits(module, tmp_path):
    many = "{'body': '\\ud800' + 'x' * 20_000_000}\n        yield Bad(3, 'broken_json', 'why')"
    first, second, third = read(tmp_path, f"{module(READER % many)}:R", fields={"text": "body"})
    assert first.fields == {"url": "https://bbc.co.uk/x", "text": "one"}
    assert (second.number, second.reason) == (2, "record_too_long")
    assert third == Bad(3, "broken_json", "why")


def test_a_thing_without_its_method_is_refused_at_once(module, tmp_path):
    name = module("class R:\n    columns = ('a',)") + ":R"
    with pytest.raises(UserError, match=r"input.format: \S+:R has no method read: see docs/exten"):
        read(tmp_path, name)
    name = module("class F:\n    reasons = {'a': ''}\n    def __init__(self, rules): ...") + ":F"
    with pytest.raises(UserError, match=r"clean.rules: \S+:F has no method __call__: see docs"):
        Cleaner(Clean(rules=(name,)))


def test_a_reader_without_columns_is_refused_and_ours_take_no_options(module, tmp_path):
    name = module("class R:\n    def read(self, file): ...") + ":R"
    with pytest.raises(
        UserError, match=r"input.format: .*:R has no `columns`: give its class a tuple"
    ):
        read(tmp_path, name)
    with pytest.raises(ValueError, match=r"options are for readers of other packages: jsonl takes"):
        Source(path="a", format="jsonl", options={"a": 1})
