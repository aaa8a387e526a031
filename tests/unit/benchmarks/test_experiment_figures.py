"""Figures of experiments: verdicts on claims, lines that are refused, plots, the page."""

import json
import math
import multiprocessing
import re
from pathlib import Path

import pytest

from benchmarks.experiment.evaluation import check_evaluation
from benchmarks.experiment.figures import (
    add_line,
    check_evaluated,
    check_lines,
    check_same_documents,
    check_settings,
    line_of,
    read_lines,
)
from benchmarks.experiment.page import _threshold, put, section
from benchmarks.experiment.plots import draw_all, values_of
from benchmarks.experiment.schema import Claim, Experiment, read_experiment
from benchmarks.experiment.verdict import Figures, judge
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from tests.unit.benchmarks.experiments import CLAIM, content, file_of, line, planned_of


def test_the_plot_by_a_field_has_a_place_for_each_value_and_a_line_a_run(tmp_path):
    evaluation = {"conditions": ["with", "without"], "plot_by": "prompt",
                  "settings": ["groups=[country,prompt]"]}  # fmt: skip
    experiment = Experiment.model_validate(content(evaluation=evaluation))
    lines = [
        {"run": run, "seed": seed, "nats": {c: {"body": nats} for c in ("with", "without")},
         "nats_among": {
             f"prompt={n}": {"with": {"body": nats + (run == "mixed")}, "without": {"body": nats}}
             for n in (8, 1, 16)
         }}
        for run, nats in (("ordinary", 1.0), ("told", 0.99), ("mixed", 1.02)) for seed in (1, 2)
    ]  # fmt: skip
    assert values_of("prompt", lines) == ["1", "8", "16"]
    found = draw_all(experiment, lines, tmp_path, "own")
    assert list(found) == ["own.svg", "own-by-prompt.svg"]
    drawn = (tmp_path / "own-by-prompt.svg").read_text()
    words = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    assert [word for word in words if word in ("1", "8", "16")] == ["1", "8", "16"] * 2
    assert "prompt (not drawn: mixed +177%)" in words  # exp(1.02) times, less one
    assert words.count("told") == words.count("mixed") == 1
    assert "own-by-prompt.svg" not in draw_all(experiment, [{**lines[0], "nats_among": {}}],
                                               tmp_path, "own")  # fmt: skip
    with pytest.raises(UserError, match="plot_by: topic needs groups=topic in settings"):
        read_experiment(str(file_of(tmp_path, evaluation={"plot_by": "topic"})))


def found_of(claim, told, ordinary=(1.0, 1.1, 1.2), mixed=()):
    lines = [line("ordinary", s, {"without": v}) for s, v in enumerate(ordinary)]
    lines += [line("told", s, {"with": v, "without": v}) for s, v in enumerate(told)]
    lines += [line("mixed", s, {"with": v}) for s, v in enumerate(mixed)]
    experiment = Experiment.model_validate(content(seeds=[0, 1, 2]))
    return judge(Claim.model_validate(CLAIM | claim), Figures(experiment, lines))


def test_verdicts_are_of_differences_by_seed():
    found = found_of({"at_most": 0.02}, (1.01, 1.11, 1.21))
    assert found.mean == pytest.approx(0.01) and found.high == pytest.approx(0.01)
    assert found.verdict == "holds"
    assert found_of({"at_most": 0.003}, (1.01, 1.11, 1.21)).verdict == "fails"
    # Student's quantile of two degrees of freedom is 4.3027; the standard error 0.01 / sqrt(3).
    spread = found_of({"at_most": 0.02}, (1.00, 1.11, 1.22))
    assert spread.high - spread.mean == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-5)
    assert spread.verdict == "undecided at this size"
    # A seed that only one of the two has is none; one seed alone decides nothing.
    assert found_of({"at_most": 0.9}, (1.01,)).verdict == "undecided at this size"
    assert list(found_of({"at_most": 0.9}, (1.01, 1.2)).values) == [0, 1]


def test_a_claim_may_be_about_the_texts_of_one_continent():
    lines = [
        line("ordinary", s, {"without": 1.0})
        | {"nats_among": {"continent=Africa": {"without": {"body": 2.0}}}}
        for s in range(3)
    ]
    lines += [
        line("told", s, {"with": 1.1})
        | {"nats_among": {"continent=Africa": {"with": {"body": 1.9 + s / 100}}}}
        for s in range(3)
    ]
    figures = Figures(Experiment.model_validate(content(seeds=[0, 1, 2])), lines)
    claim = CLAIM | {"of": ["told", "with"], "at_most": 0.0}
    whole = judge(Claim.model_validate(claim), figures)
    africa = judge(Claim.model_validate(claim | {"among": "continent=Africa"}), figures)
    assert (whole.verdict, africa.verdict) == ("fails", "holds")
    assert africa.mean == pytest.approx(-0.09)
    with pytest.raises(ValueError, match="among"):
        Claim.model_validate(claim | {"among": "Africa"})


def test_a_continent_that_the_store_lacks_is_one_line(tiny_store):
    claims = [CLAIM | {"at_most": 0.0, "among": "continent=Atlantis"}]
    experiment = Experiment.model_validate(content(claims=claims))
    with pytest.raises(UserError, match="among continent=Atlantis, and the store has Africa"):
        check_evaluation(experiment, TokenStore.open(tiny_store))


def test_a_fraction_of_the_gain_is_kept_or_not():
    keeps = {"at_most": None, "keeps": 0.9, "than": ["mixed", "with"], "of": ["told", "with"]}
    gains = {"mixed": (0.9, 1.0, 1.1)}  # a tenth of a nat better than the ordinary one
    assert found_of(keeps, (0.905, 1.005, 1.105), **gains).verdict == "holds"
    lost = found_of(keeps, (0.92, 1.02, 1.12), **gains)
    assert lost.mean == pytest.approx(0.01) and lost.verdict == "fails"
    # Of what is no gain, no share is kept, however little the other one loses.
    worse = {"mixed": (1.1, 1.2, 1.3)}
    assert found_of(keeps, (1.0, 1.1, 1.2), **worse).verdict == "undecided at this size"


def test_runs_of_other_commits_stores_settings_or_documents_are_refused(tiny_store, tmp_path):
    planned = planned_of(tiny_store, tmp_path)[:1]
    good = line("ordinary", 1, {}, key=planned[0].key)

    def check(found):
        check_lines(Path("x.jsonl"), [found], "c", "s")
        check_settings(Path("x.jsonl"), [found], planned)

    check(good)
    for bad, words in (
        (good | {"commit": "d" * 40}, "is of commit dddddddddddd, and this code of c: give --resu"),
        (good | {"commit": "c+"}, r"is of commit c\+, and this code of c: give --results FILE"),
        (good | {"documents": good["documents"] | {"store_hash": "t"}}, "is of store t, and the"),
        (good | {"key": "other"}, "is of other settings than its name has now"),
    ):
        with pytest.raises(UserError, match=f"x.jsonl: run ordinary, seed 1, {words}") as error:
            check(bad)
        assert "\n" not in str(error.value)
    other = good | {"documents": good["documents"] | {"scored": 8}}
    with pytest.raises(UserError, match="were scored on other documents"):
        check_same_documents([good, other])
    (tmp_path / "x.jsonl").write_text(json.dumps(good) + "\n{\n")
    with pytest.raises(UserError, match=r"x.jsonl:2 is no finished run"):
        read_lines(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps(line("a", 1, {}))[:-20], "x.jsonl:1 is no finished run: remove the line"),
        (b"\xff{}", "x.jsonl:1 is no finished run: remove the line"),
        ("[1]", r"x.jsonl:1 is no finished run \(no JSON object\): remove the line"),
        *((json.dumps(line("a", 1, {}) | change), rf"x.jsonl:1 is no finished run \({what}\): rem")
          for change, what in (({"seconds": None}, "seconds"), ({"machine": {}}, "machine.cpu"),
                               ({"documents": {"split": "test"}}, "documents.store_hash"),
                               ({"nats": {"with": {"body": math.nan}}}, "nats.with.body"),
                               ({"seed": "first"}, "seed"))),
        (2 * (json.dumps(line("a", 1, {})) + "\n"),
         "x.jsonl:2 is of run a, seed 1, as line 1 is: remove one of them"),
    ],
)  # fmt: skip
def test_a_line_that_is_half_there_or_twice_is_named(tmp_path, content, words):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=words) as error:
        read_lines(path)
    assert "\n" not in str(error.value)


def test_results_that_cannot_be_read_are_one_line(tmp_path):
    with pytest.raises(
        UserError, match=r"cannot read .*: Is a directory; mend that or give another"
    ):
        read_lines(tmp_path)


def test_the_page_tells_of_runs_of_several_sizes_and_of_code_that_no_commit_has(
    tiny_store, tmp_path
):
    runs = {"ordinary": ["stages.condition.fraction=0.75", "stages.cooldown.fraction=0.25"],
            "told": ["train.steps=8"]}  # fmt: skip
    values = content(tiny_store, runs=runs)
    planned = planned_of(tiny_store, tmp_path, runs=runs)
    experiment = Experiment.model_validate(values)
    lines = [line(run.name, run.seed, {"with": 1.0, "without": 1.0}, commit="c" * 40 + "+",
                  steps=run.run.train.steps, parameters=600 + 1000 * (run.name == "told"))
             for run in planned]  # fmt: skip
    lines[0]["machine"] = {"cpu": "z", "cores": 1, "torch": "b"}
    text = section("own", experiment, planned, lines, [], {})
    assert (
        "Seeds 1, 2; 600 to 1,600 parameters; 6 to 8 steps (condition 4, cooldown 2 to 4)" in text
    )
    assert ", 60 tokens; 9 test documents; commit cccccccccccc+; store s; " in text
    assert "1 cores of z, torch b, and 2 cores of a, torch b; 6 s of machine time." in text


def test_figures_of_another_evaluation_or_without_what_a_claim_asks_are_refused(
    tiny_store, tmp_path
):
    run = planned_of(tiny_store, tmp_path)[0]
    claims = [CLAIM | {"of": ["ordinary", "with"], "among": "continent=Africa"}]
    asks = Experiment.model_validate(content(tiny_store, claims=claims))
    cells = [
        {"run": "ordinary", "group": "all", "name": "all", "condition": condition, "part": "body",
         "nats": 1.0}
        for condition in ("with", "without")
    ]  # fmt: skip
    documents = {"store_hash": "s", "split": "test", "scored": 9, "title_tokens": 1,
                 "body_tokens": 2}  # fmt: skip
    measured = {"perplexity": {"cells": cells}, "documents": documents}
    plain = Experiment.model_validate(content(tiny_store))
    made = line_of("own", plain, run, measured, commit="c")
    assert made["evaluation"] == list(plain.evaluation.settings)
    check_evaluated(tmp_path / "x.jsonl", [made], plain)
    older = {key: value for key, value in made.items() if key != "evaluation"}
    check_evaluated(tmp_path / "x.jsonl", [older], plain)
    # Whether the claim came later, or its texts are not among the documents.
    with pytest.raises(UserError, match=r"x.jsonl: there are no figures of body among continent="):
        check_evaluated(tmp_path / "x.jsonl", [made], asks)
    with pytest.raises(UserError, match=r"ordinary, seed 1 has no figures of body among contin"):
        line_of("own", asks, run, measured, commit="c")
    changed = {"conditions": ["with", "without"], "settings": ["metadata=url"]}
    other = Experiment.model_validate(content(tiny_store, evaluation=changed))
    with pytest.raises(UserError, match=r"evaluation.settings were metadata=full .* and are meta"):
        check_evaluated(tmp_path / "x.jsonl", [made], other)
    more = changed | {"conditions": ["with", "without", "plain"], "settings": made["evaluation"]}
    other = Experiment.model_validate(content(tiny_store, evaluation=more))
    with pytest.raises(UserError, match="no figures of body under the condition plain: remove the"):
        check_evaluated(tmp_path / "x.jsonl", [made], other)


def test_the_page_has_a_threshold_as_its_file_has_it():
    assert [_threshold(x) for x in (0.0, 0.003, -0.0251, 0.5, 0.0005, -0.2)] == [
        "+0.0%", "+0.3%", "-2.51%", "+50.0%", "+0.05%", "-20.0%",
    ]  # fmt: skip


def test_a_section_takes_the_place_of_the_one_before(tmp_path):
    page = tmp_path / "docs" / "experiments.md"
    put(page, "a", "first\n")
    put(page, "b", "second\n")
    put(page, "a", "third \\1\n")
    text = page.read_text()
    assert text.startswith("# Experiments")
    assert "first" not in text
    assert text.index("third \\1") < text.index("second")


def _put_often(page: Path, name: str) -> None:
    for number in range(30):
        put(page, name, f"{name} {number}\n" * 50 * (1 + number % 7))


def _add_often(path: Path, name: str) -> None:
    for number in range(30):
        add_line(path, {"run": name, "seed": number})


@pytest.mark.parametrize("often", [_put_often, _add_often])
def test_what_commands_write_at_once_loses_and_doubles_nothing(tmp_path, often):
    file, names = tmp_path / "written", ("a", "bb", "ccc")
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=often, args=(file, name)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    text = file.read_text()
    if often is _add_often:
        found = sorted((line["run"], line["seed"]) for line in map(json.loads, text.splitlines()))
        assert found == [(name, number) for name in names for number in range(30)]
        return
    marks = re.findall(r"<!--.*?-->", text)
    assert len(marks) == 6 and all(text.count(f"<!-- end of {name} -->") == 1 for name in names)
    assert all(f"{name} 29\n<!-- end of {name} -->" in text for name in names)


@pytest.mark.parametrize(
    "damaged",
    [
        "<!-- experiment a -->\nold\n",  # at the end of the page, and before another section
        "<!-- experiment a -->\nold\n\n<!-- experiment b -->\nkept\n<!-- end of b -->\n",
        "<!-- experiment a -->\nold\n<!-- end of a -->\n<!-- end of a -->\n\nkept\n",
        "<!-- experiment a -->\nold\n<!-- end of a --><!-- end of a -->\n\nkept\n",
    ],
)
def test_a_section_without_its_end_or_with_two_gets_one(tmp_path, damaged):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{damaged}")
    put(page, "a", "new\n")
    text = page.read_text()
    assert text.startswith("before\n\n<!-- experiment a -->\nnew\n<!-- end of a -->\n")
    assert text.count("<!-- end of a -->") == 1 and "old" not in text
    assert ("kept" in text) == ("kept" in damaged)
    put(page, "a", "new\n")
    assert page.read_text() == text
