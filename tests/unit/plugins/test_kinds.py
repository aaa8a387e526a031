"""A package from outside, found by its entry points: what `docs/extending.md` shows, run so."""

import json
import os
import re
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from data_prep.config.kinds import ANNOTATORS, FILTERS, READERS
from eval.kinds import TASKS
from geo_nemo.config import RunError, UserError, plugins
from geo_nemo.config.kinds import PACKINGS, SAMPLERS
from geo_nemo.config.plugins import Kind, blaming
from geo_nemo.tokenizers.kinds import TOKENIZERS
from geo_nemo.train.build import CALLBACKS
from geo_nemo.train.callbacks.loggers.registry import LOGGERS
from tests.unit.plugins.outside import PLUGIN, ROOT, train


def test_a_run_is_of_a_package_s_tokenizer_packing_and_sampler(trained):
    """A process of its own plans. Another packing is another run."""
    record = json.loads((trained.run / "run.json").read_text())
    assert record["config"]["data"]["packing"] == "next_fit"
    code, errors = train(trained.store, trained.run, *trained.settings, "data.packing=concat")
    assert code == 2
    assert "data.packing changed since the checkpoint" in errors


def test_a_package_brings_a_callback_and_a_logger(tiny_store, tmp_path):
    code, errors = train(
        tiny_store, tmp_path / "run",
        "callbacks.use=[loss_target]", "callbacks.options={loss_target: {below: 99, steps: 5}}",
        "logging.loggers=[table]", "logging.options={table: {separator: ';'}}",
    )  # fmt: skip
    assert code == 0, errors
    assert "stopped at step 5 of 12, and saved: the loss was below 99 for 5 steps" in errors
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    table = (tmp_path / "run" / "table.csv").read_text().splitlines()
    assert table == [f"{i + 1};{loss};{i + 1}" for i, loss in enumerate(losses)]
    assert json.loads((tmp_path / "run" / "end.json").read_text())["event"] == "stopped"


@pytest.mark.parametrize(
    "kind",
    ("annotators", "callbacks", "filters", "readers", "tokenizers", "packings", "samplers",
     "tasks"),
)  # fmt: skip
def test_the_page_shows_what_the_package_brings(kind):
    page = (ROOT / "docs" / "extending.md").read_text()
    own = (PLUGIN / "geo_nemo_example" / f"{kind}.py").read_text()
    (name,) = re.findall(r"\nclass (\w+):", own)
    (shown,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if f"class {name}:" in block
    )

    def code(text):
        without = re.sub(r'\n*^ *""".*?"""\n*', "\n", text, flags=re.DOTALL | re.MULTILINE)
        return [line for line in without.splitlines() if line.strip()]

    assert code(shown) == code(own)


KINDS = Kind("thing", "geo_nemo.things", {"ours": "geo_nemo.config.plugins:reason"})


def offer(monkeypatch, **targets):
    points = [EntryPoint(n.rstrip("_"), t, "geo_nemo.things") for n, t in targets.items()]
    offered = EntryPoints(points)
    monkeypatch.setattr(plugins, "entry_points", lambda **asked: offered.select(**asked))


def test_a_name_leads_to_ours_or_to_another_package_s(monkeypatch):
    offer(monkeypatch, theirs="json:loads")
    assert KINDS.load("ours", "a.b") is plugins.reason
    assert KINDS.load("theirs", "a.b") is json.loads
    assert KINDS.load("json:dumps", "a.b") is json.dumps
    assert KINDS.names() == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("offered", "name"),
    [({"ours": "json:loads"}, "ours"), ({"a": "json:loads", "a_": "json:dumps"}, "a")],
)
def test_a_name_that_is_taken_is_refused_and_both_are_named(monkeypatch, offered, name):
    offer(monkeypatch, **offered)
    with pytest.raises(UserError, match=rf"^a.b: the name {name} stands for .* and .*: uninstall"):
        KINDS.load(name, "a.b")


def test_a_module_that_fails_as_it_is_imported_is_one_line(tmp_path, monkeypatch):
    """`exit()` would else end the command, and with code 0."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, code, line in (
        ("breaks_on_import", "1 / 0", "ZeroDivisionError: division by zero; mend that or take it"),
        ("exits_on_import", "exit()", "SystemExit: None; mend that or take it out"),
    ):
        (tmp_path / f"{name}.py").write_text(code)
        with pytest.raises(UserError, match=rf"^a.b: {name}:A: {line}"):
            KINDS.make(f"{name}:A", "a.b")
        why = line.partition(";")[0]
        with (
            pytest.raises(RunError, match=rf"^it fails \({why}\): mend it$"),
            blaming("it", "mend it"),
        ):
            exec(code)


def test_an_entry_point_may_name_extras_and_what_no_file_defines_needs_a_version(monkeypatch):
    offer(monkeypatch, theirs="json:loads [extra]", built_in="math:sqrt")
    assert KINDS.load("theirs", "a.b") is json.loads
    assert KINDS.brought("theirs", "a.b").startswith("json:loads ")
    with pytest.raises(UserError, match=r"^a.b: built_in: ValueError: it has no `version`, and no"):
        KINDS.brought("built_in", "a.b")


OURS = (ANNOTATORS, FILTERS, READERS, TOKENIZERS, PACKINGS, SAMPLERS, TASKS, LOGGERS)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.word)
def test_every_name_of_ours_leads_somewhere_and_cannot_be_taken(kind, monkeypatch):
    for name in kind.known:
        assert callable(kind.load(name, "a.b"))
        assert kind.brought(name, "a.b") == ""
        point = EntryPoints([EntryPoint(name, "json:loads", kind.group)])
        monkeypatch.setattr(plugins, "entry_points", lambda p=point, **asked: p.select(**asked))
        with pytest.raises(UserError, match=rf"^a.b: the name {name} stands for .*json:loads"):
            kind.load(name, "a.b")
        monkeypatch.undo()


def test_the_package_brings_one_of_each_kind(monkeypatch):
    monkeypatch.syspath_prepend(PLUGIN)
    for kind in (*OURS, CALLBACKS):
        (name,) = set(kind.names()) - set(kind.known)
        assert kind.brought(name, "a.b").startswith("geo_nemo_example.")


def test_packages_are_read_once_and_a_new_one_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    readings = []
    read = plugins.read_entry_points
    monkeypatch.setattr(plugins, "read_entry_points", lambda: readings.append(1) or read())
    for _ in range(3):
        assert KINDS.names() == ["ours"]
    assert len(readings) == 1
    info = tmp_path / "late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[geo_nemo.things]\nlate = json:loads\n")
    os.utime(tmp_path, ns=(1, 1))
    assert KINDS.names() == ["late", "ours"] and len(readings) == 2
