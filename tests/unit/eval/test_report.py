"""The page: complete, self-contained, safe, and right for small and odd corpora."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from eval.config import ReportConfig
from eval.report.about import sample_sequences
from eval.report.inputs import read_inputs, read_run
from eval.report.page import _perplexity, _sections, write_report
from eval.report.plots import stage_borders
from eval.runner import evaluate
from eval.where import FREQUENCY, SEEN, SLUG
from geo_nemo.config import UserError
from geo_nemo.data.index.read import LEDGER
from tests.unit.eval.fakes import make_run, make_store, rewrite_record, texts
from tests.unit.eval.test_questions import question, write
from tests.unit.eval.test_runner import floors_of

VOID = {"meta", "br", "hr", "img", "link", "input", "path", "use"}


class Structure(HTMLParser):
    """Collects tags, ids and attributes, and checks that every tag is closed in its place."""

    def __init__(self, page: str):
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def evaluated(world, tmp_path_factory):
    """An evaluation with questions and floors, shared by the tests that only read it."""
    from eval.config import EvalConfig
    from tests.unit.eval.conftest import load

    folder = tmp_path_factory.mktemp("evaluated")
    config = EvalConfig(
        runs={name: str(run) for name, run in world.runs.items()},
        store=str(world.store.root),
        output=str(folder / "eval"),
        questions=str(write(folder / "q.jsonl", [question(n) for n in range(48)] + ["broken"])),
        floors=floors_of(world, folder / "floors.jsonl.gz", (1.0, 20.0, 1.0, 30.0)),
        bootstrap_samples=200,
    )
    evaluate(config, load, command=["geo-nemo", "eval", "output=a <b> & c"])
    return folder / "eval"


@pytest.fixture(scope="module")
def whole(evaluated, tmp_path_factory):
    """The page of that evaluation: to draw its figures takes most of these tests' time."""
    return page_of(evaluated, tmp_path_factory.mktemp("whole") / "report.html")


def page_of(evaluation: Path, output: Path, **changes) -> str:
    write_report(ReportConfig(eval=str(evaluation), output=str(output), **changes))
    return output.read_text()


def test_the_page_has_every_part(whole):
    structure = Structure(whole)
    sections = ("perplexity", "places", "questions", "training", "rows", "corpus", "reproduce")
    assert set(sections) <= set(structure.ids)
    for text in (
        "Metadata helps", "Against the floor", "1 not JSON", "geo-nemo train", "text is empty",
        "1 country has no test document", "cooldown", "12,345",
    ):  # fmt: skip
        assert text in whole, text
    # Matrix, gain and loss by place, questions, training: each wide and narrow.
    assert structure.tags.count("svg") == 10


def test_the_page_loads_nothing(whole):
    structure = Structure(whole)
    assert not {"script", "link", "iframe", "img", "object", "embed"} & set(structure.tags)
    assert all(link.startswith("#") for link in structure.links)
    assert not re.search(r"@import|https?://|url\((?!#)", whole)


def test_identifiers_are_unique_and_every_reference_has_its_target(whole):
    structure = Structure(whole)
    assert len(structure.ids) == len(set(structure.ids))
    used = {link[1:] for link in structure.links} | set(re.findall(r"url\(#(\w+)\)", whole))
    assert used <= set(structure.ids)


def test_text_of_documents_and_commands_is_escaped(world, loader, tmp_path):
    nasty = [("gb", "news.gb", "<script>alert(1)</script>", "<b>&</b>")] * 2 + texts(30)
    store = make_store(tmp_path / "nasty", nasty)
    run = make_run(tmp_path / "with", store, fields=("country",))
    from eval.config import EvalConfig

    config = EvalConfig(
        runs={"with": str(run)}, store=str(store.root), output=str(tmp_path / "eval"),
        bootstrap_samples=100,
    )  # fmt: skip
    evaluate(config, loader, command=["geo-nemo", "eval", "output=<i>"])
    page = page_of(tmp_path / "eval", tmp_path / "report.html", title="<u>mine</u>")
    assert "&lt;script&gt;" in page
    for tag in ("script", "b", "i", "u"):
        assert tag not in Structure(page).tags


def test_figures_take_colours_and_font_from_the_page(whole):
    figures = re.findall(r"<svg.*?</svg>", whole, flags=re.S)
    for figure in figures:
        assert "var(--s0)" in figure
        assert not re.search(r"#0[ab]00", figure)
        assert "font-family" not in figure and "<style" not in figure
        assert 'aria-label="' in figure
    variables = set(re.findall(r"var\(--(\w+)\)", whole))
    assert variables <= set(re.findall(r"--(\w+):", whole))


def test_a_corpus_without_questions_floors_and_titles(loader, tmp_path):
    store = make_store(tmp_path / "plain", [(c, h, "", body) for c, h, _, body in texts(40)])
    runs = {
        name: str(make_run(tmp_path / name, store, fields=fields))
        for name, fields in (("with", ("url", "country")), ("without", ()))
    }
    for folder in runs.values():
        (Path(folder) / "metrics.jsonl").unlink()
    from eval.config import EvalConfig

    config = EvalConfig(
        runs=runs, store=str(store.root), output=str(tmp_path / "eval"), bootstrap_samples=100
    )
    evaluate(config, loader)
    page = page_of(tmp_path / "eval", tmp_path / "report.html")
    structure = Structure(page)
    assert "questions" not in structure.ids and "Against the floor" not in page
    assert "no loss curves" in page
    assert ">Title<" not in page


def test_documents_are_said_to_be_drawn_only_where_they_were(evaluated):
    record = json.loads((evaluated / "eval.json").read_text())
    scored = record["documents"]["scored"]
    record["documents"]["in_split"] = scored + 5
    for number, words in ((None, f"(of {scored + 5:,})"), (scored, ", stratified by country)")):
        record["config"]["num_documents"] = number
        assert words in _perplexity(record)["about_documents"]


def test_the_section_of_places_has_the_name_of_a_field(evaluated):
    """Which hosts were trained on, and what URLs spell, is told there, too."""
    record = json.loads((evaluated / "eval.json").read_text())
    lines = record["perplexity"]["effects"]
    one = next(line for line in lines if line["group"] == "country")
    lines += [one | {"group": group} for group in (SEEN, FREQUENCY, SLUG)]
    assert ("places", "By country") in _sections(record)


def test_few_documents_by_country_fold_to_continents(evaluated, tmp_path):
    copy = tmp_path / "eval"
    shutil.copytree(evaluated, copy)
    record = json.loads((copy / "eval.json").read_text())
    del record["sha256"]
    for line in record["perplexity"]["effects"]:
        if line["group"] == "country":
            line |= {"low": None, "high": None, "ratio_low": None, "ratio_high": None}
    (copy / "eval.json").write_text(json.dumps(record))
    page = page_of(copy, tmp_path / "report.html")
    assert "too few documents" in page
    figure = next(f for f in re.findall(r"<svg.*?</svg>", page, flags=re.S) if "by place" in f)
    assert ">Africa<" in figure and ">ke<" not in figure


def test_an_unfinished_run_and_another_store_are_warned_of(world, loader, tmp_path):
    other = make_store(tmp_path / "other", texts(12, seed=5))
    run = make_run(tmp_path / "with", other, fields=("country",), step=60)
    from eval.config import EvalConfig

    config = EvalConfig(
        runs={"with": str(run)}, store=str(world.store.root), output=str(tmp_path / "eval"),
        bootstrap_samples=100,
    )  # fmt: skip
    evaluate(config, loader)
    page = page_of(tmp_path / "eval", tmp_path / "report.html")
    assert "evaluated at step 60 of 100" in page
    assert "trained on another token store" in page
    inputs = read_inputs(ReportConfig(eval=str(tmp_path / "eval"), output="x"))
    assert len(sample_sequences(inputs)[0]) == 2  # from the store it was trained on
    shutil.rmtree(tmp_path / "other")
    assert "No sequence is shown" in page_of(tmp_path / "eval", tmp_path / "again.html")


def test_the_same_inputs_give_the_same_page(evaluated, whole, tmp_path):
    assert page_of(evaluated, tmp_path / "again.html") == whole


def test_a_metrics_line_that_a_kill_cut_off_is_left_out(world, tmp_path):
    run = shutil.copytree(world.runs["with"], tmp_path / "with")
    path = run / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"step": 11')
    assert len(read_run("with", run).metrics) == 10
    for damage in (b"{\n", b"\xff\xfe\n"):
        path.write_bytes(damage + whole.encode())
        with pytest.raises(UserError, match="line 1 is no JSON object"):
            read_run("with", run)


def test_of_a_run_that_went_on_the_losses_end_where_it_was_evaluated(evaluated, world, tmp_path):
    run = shutil.copytree(world.runs["with"], tmp_path / "with")
    found = read_inputs(ReportConfig(eval=str(evaluated), output="-"))
    step = found.evaluation["runs"]["with"]["step"]
    later = [
        {
            **found.runs["with"].metrics[-1],
            "step": step + n,
            "steps_done": step + n + 1,
            "loss": 0.0,
        }
        for n in (0, 1)
    ]
    with (run / "metrics.jsonl").open("a") as out:
        out.writelines(json.dumps(line) + "\n" for line in later)
    runs = {"with": str(run), "without": str(world.runs["without"])}
    again = read_inputs(ReportConfig(eval=str(evaluated), output="-", runs=runs))
    assert again.runs["with"].metrics == found.runs["with"].metrics


def entry(steps, by_country, padding=10):
    """A stage of a ledger; by_country: documents, positions, text and metadata tokens."""
    totals = [sum(column) for column in zip(*by_country.values(), strict=True)]
    sums = dict(zip(LEDGER, totals, strict=True))
    found = {country: dict(zip(LEDGER, n, strict=True)) for country, n in by_country.items()}
    trained = {"rows": steps * 4, "padding": padding, **sums, "by_country": found}
    return {"steps": steps, "trained": trained, "left_out": {"rows": 4}}


LEDGER_OF_A_RUN = {
    "step": 100,
    "stages": {
        "condition": entry(90, {"gb": (31, 3_790, 2_711, 901), "ke": (7, 900, 600, 199)}),
        "cooldown": entry(10, {"gb": (3, 400, 317, 0)}),
    },
    "notes": [{"step": 5, "stage": "condition", "reason": "<b>the loss spikes</b>",
               "action": "rewind", "left_out": [4, 5], "back_to_step": 3}],
}  # fmt: skip


def with_ledger(world, folder, ledger) -> dict[str, str]:
    """The runs, of which the first has a ledger."""
    run = shutil.copytree(world.runs["with"], folder / "with")
    (run / "ledger.json").write_text(json.dumps(ledger))
    return {"with": str(run), "without": str(world.runs["without"])}


def test_what_a_run_was_trained_on_is_told_by_stage_and_country(evaluated, world, tmp_path):
    runs = with_ledger(world, tmp_path, LEDGER_OF_A_RUN)
    page = page_of(evaluated, tmp_path / "report.html", runs=runs)
    structure = Structure(page)
    assert structure.tags.count("svg") == 12
    assert "b" not in structure.tags
    for text in ("3,311", "1,100<small>23.4%", "2,711", "rewind to step 3", "4, 5",
                 "4 sequences left",
                 "Text tokens that run with was trained on, by country and stage"):  # fmt: skip
        assert text in page, text
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", page)
    kenya = next(i for i, cell in enumerate(cells) if cell.startswith("ke<small>Africa"))
    line = [place for place in range(kenya, len(cells)) if cells[place : place + 7] ==
            ["ke<small>Africa</small>", "7", "600", "199", "0", "0", "0"]]  # fmt: skip
    assert len(line) == 1


def test_a_ledger_of_another_step_is_not_shown(evaluated, world, tmp_path):
    runs = with_ledger(world, tmp_path, LEDGER_OF_A_RUN | {"step": 90})
    page = page_of(evaluated, tmp_path / "report.html", runs=runs)
    assert "No run has a ledger.json" in page


def test_without_the_file_it_is_that_of_the_checkpoint(evaluated, world, tmp_path):
    run = shutil.copytree(world.runs["with"], tmp_path / "with")
    rewrite_record(run / "checkpoints" / "step_00000100", ledger=LEDGER_OF_A_RUN)
    runs = {"with": str(run), "without": str(world.runs["without"])}
    assert "3,311" in page_of(evaluated, tmp_path / "report.html", runs=runs)
    (run / "ledger.json").write_text("{")
    with pytest.raises(UserError, match=r"ledger\.json is not JSON; train the run again"):
        page_of(evaluated, tmp_path / "again.html", runs=runs)


def test_stage_borders_are_where_the_stage_changes():
    lines = [{"step": s, "stage": stage} for s, stage in ((1, "a"), (2, "a"), (3, "b"), (4, "c"))]
    assert stage_borders(lines) == [(3, "b"), (4, "c")]


def test_mistakes_are_one_clear_line_and_leave_no_page(evaluated, world, tmp_path):
    def fails(match, **changes):
        values = {"eval": str(evaluated), "output": str(tmp_path / "r.html")} | changes
        with pytest.raises(UserError, match=match) as caught:
            write_report(ReportConfig(**values))
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("r.html*"))

    fails("make it with geo-nemo eval", eval=str(tmp_path / "none"))
    fails("x is not in both", runs={"with": "a", "without": "b", "x": "c"})
    fails("is not the one that was evaluated",
          store=str(make_store(tmp_path / "s", texts(10)).root))  # fmt: skip
    moved = shutil.copytree(evaluated, tmp_path / "moved")
    record = json.loads((moved / "eval.json").read_text())
    record["documents"]["store"] = "/gone/store"
    (moved / "eval.json").write_text(json.dumps(record))
    fails("eval.json was changed since it was written: run the same", eval=str(moved))
    del record["sha256"]
    (moved / "eval.json").write_text(json.dumps(record))
    fails("evaluated, /gone/store, is not there: give store=STORE", eval=str(moved))
    del record["perplexity"]
    (moved / "eval.json").write_text(json.dumps(record))
    fails("eval.json lacks perplexity: run geo-nemo eval again", eval=str(moved))
    (tmp_path / "folder.html").mkdir()
    fails("cannot write", output=str(tmp_path / "folder.html"))


def test_commands_print_matrix_headline_and_paths(world, tmp_path, monkeypatch):
    import geo_nemo.export.scorer as scorer
    from geo_nemo.cli.eval import command as eval_command
    from geo_nemo.cli.report import command as report_command
    from tests.unit.eval.conftest import load

    monkeypatch.setattr(
        scorer, "load_scorer", lambda folder, *unused: load(SimpleNamespace(folder=folder))
    )
    arguments = [
        *(f"runs.{name}={run}" for name, run in world.runs.items()),
        f"store={world.store.root}", f"output={tmp_path / 'eval'}", "bootstrap_samples=100",
    ]  # fmt: skip
    dry = CliRunner().invoke(eval_command, [*arguments, "--dry-run"], catch_exceptions=False)
    assert "documents: 60 of 60" in dry.output and "0 finished" in dry.output
    assert not (tmp_path / "eval").exists()
    done = CliRunner().invoke(eval_command, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and "told nothing" in done.output
    assert "no test document of 1 country: jm" in done.output
    page = tmp_path / "report.html"
    report = CliRunner().invoke(
        report_command, [f"eval={tmp_path / 'eval'}", f"output={page}"], catch_exceptions=False
    )
    assert report.exit_code == 0 and page.exists()
    assert "Metadata helps" in " ".join(report.output.split())
    assert str(page) in report.output.replace("\n", "")
