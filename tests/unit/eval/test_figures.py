"""What figures draw is what the evaluation says: points, bars, their order and their names."""

import copy
import json
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from eval.analyses import write
from eval.analyses.questions import QUESTIONS, Line
from eval.analyses.study import Estimate
from eval.report import plots
from eval.report.about import training
from eval.report.page import _perplexity
from eval.report.sentences import place_name
from eval.report.tables import crossed
from tests.unit.eval.fakes import make_run


@pytest.fixture
def drawn(monkeypatch):
    """Figures as they are drawn for a wide page, before they become SVG."""
    made = []

    def keep(name, label, draw):
        made.append(draw("wide"))
        return name

    for module in (plots, write):
        monkeypatch.setattr(module, "inline", keep)
    yield made
    plt.close("all")


def points(axes):
    """(x, y) of every marker, and (low, high, y) of every bar."""
    dots, bars = [], []
    for line in axes.get_lines():
        x, y = (np.asarray(v, float) for v in (line.get_xdata(), line.get_ydata()))
        if line.get_marker() not in ("None", "", None):
            dots += list(zip(x.tolist(), y.tolist(), strict=True))
        elif len(x) == 2 and y[0] == y[1]:
            bars.append((x[0], x[1], y[0]))
    return dots, bars


def cell(**values):
    return {"group": "all", "name": "all", "part": "body", "condition": "with", **values}


EVALUATION = {
    "runs": {"a-10": {"step": 10, "folder": "a"}, "a-20": {"step": 20, "folder": "a"}},
    "conditions": ["with", "without"], "documents": {"continents": {"gb": "Europe", "ke": "Africa",
                                                                    "ng": "Africa"}},
    "perplexity": {"cells": [
        cell(run=run, condition=condition, perplexity=value, low=value - 1, high=value + 2)
        for run, condition, value in (("a-10", "with", 40.0), ("a-10", "without", 50.0),
                                      ("a-20", "with", 20.0), ("a-20", "without", 31.0))
    ], "effects": [
        {"group": "country", "name": name, "part": "body", "of": ["a-20", "with"],
         "against": ["a-20", "without"], "nats": nats, "low": nats - 0.02, "high": nats + 0.03}
        for name, nats in (("gb", -0.1), ("ke", 0.2), ("ng", -0.3))
    ]},
}  # fmt: skip


def test_the_matrix_has_each_perplexity_with_its_interval(drawn):
    plots.matrix_plot(EVALUATION)
    dots, bars = points(drawn[0].axes[0])
    cells = EVALUATION["perplexity"]["cells"]
    assert sorted(x for x, _ in dots) == sorted(c["perplexity"] for c in cells)
    assert sorted(b[:2] for b in bars) == sorted((c["low"], c["high"]) for c in cells)
    # A dot lies in its own bar, and in the line of its condition.
    for x, y in dots:
        assert any(low <= x <= high and y == at for low, high, at in bars)
        condition = next(c["condition"] for c in cells if c["perplexity"] == x)
        assert round(y) == EVALUATION["conditions"].index(condition)


def test_a_perplexity_that_is_too_large_for_a_number_stands_at_the_edge(drawn):
    evaluation = copy.deepcopy(EVALUATION)
    evaluation["perplexity"]["cells"][0] |= {"perplexity": None, "low": None, "high": None}
    plots.matrix_plot(evaluation)
    axes = drawn[0].axes[0]
    assert max(x for x, _ in points(axes)[0]) == pytest.approx(1.1 * 50)
    assert "over 1e300 \u2192" in [text.get_text() for text in axes.texts]
    for each in evaluation["perplexity"]["cells"]:
        each["perplexity"] = None
    plots.matrix_plot(evaluation)
    assert np.isfinite(points(drawn[1].axes[0])[0]).all()


def test_a_curve_of_checkpoints_with_names_of_their_own_has_all_of_them(drawn):
    evaluation = json.loads(json.dumps(EVALUATION).replace("a-10", "early").replace("a-20", "late"))
    plots.curves_plot(evaluation)
    assert drawn[0].axes[0].get_lines()[0].get_label() == "run early, late, told the truth"


def test_places_of_another_field_are_one_series(drawn):
    evaluation = json.loads(json.dumps(EVALUATION).replace("country", "topic"))
    plots.gain_plot(evaluation, evaluation["perplexity"]["effects"][0])
    named = [line.get_label() for line in drawn[0].axes[0].get_lines()]
    assert [name for name in named if name[0] != "_"] == ["topic"]


def test_values_with_commas_stand_in_their_own_cells_of_a_table_of_two_fields():
    sides = {"part": "body", "of": ["a", "with"], "against": ["a", "without"], "low": None,
             "tokens": 5}  # fmt: skip
    names = {"gb": 1.1, "a, b": 1.2}, {"sport": 1.0, "arts, film": 1.0}
    lines = [
        {"group": g, "name": n, "ratio": r, **sides}
        for g, of in zip(("place", "topic"), names, strict=True)
        for n, r in of.items()
    ]
    lines += [{"group": "place and topic", "name": f"{a}, {b}", "ratio": r, **sides}
              for r, (a, b) in zip((1.3, 1.4, 1.5), product(*names), strict=False)]  # fmt: skip
    table = crossed({"perplexity": {"effects": lines}}, lines[0], "place and topic")
    assert table.head == ("place and topic", "arts, film", "sport")
    shown = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert shown == {"a, b": ["", "+50.0%"], "gb": ["+40.0%", "+30.0%"]}


def test_a_curve_goes_through_the_perplexities_of_its_steps(drawn):
    plots.curves_plot(EVALUATION)
    told, untold = drawn[0].axes[0].get_lines()
    assert told.get_label() == "run a, told the truth"
    assert (list(told.get_xdata()), list(told.get_ydata())) == ([10, 20], [40.0, 20.0])
    assert list(untold.get_ydata()) == [50.0, 31.0]


def test_the_forest_of_places_is_in_order_with_each_interval_by_its_name(drawn):
    effects = EVALUATION["perplexity"]["effects"]
    plots.gain_plot(EVALUATION, effects[0])
    axes = drawn[0].axes[0]
    ranked = sorted(effects, key=lambda e: e["nats"])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [place_name("country", e["name"]) for e in ranked]
    dots, bars = points(axes)
    assert sorted(dots) == [(e["nats"], row) for row, e in enumerate(ranked)]
    assert sorted(bars) == [(e["low"], e["high"], row) for row, e in enumerate(ranked)]
    colours = {
        d.get_label(): to_rgb(d.get_color()) for d in axes.get_lines() if d.get_label()[0] != "_"
    }
    assert set(colours) == {"Europe", "Africa"} and len(set(colours.values())) == 2


def test_accuracies_stand_in_percent_beside_the_guess(drawn):
    cells = [
        {"group": "all", "rule": "by_sum", "kind": "local", "run": "a", "condition": condition,
         "accuracy": rate, "low": rate - 0.1, "high": rate + 0.1, "chance": 0.25}
        for condition, rate in (("with", 0.8), ("without", 0.4))
    ]  # fmt: skip
    plots.questions_plot({
        "runs": {"a": {}}, "questions": {"cells": cells, "conditions": ["with", "without"]}
    })  # fmt: skip
    axes = drawn[0].axes[0]
    dots, bars = points(axes)
    assert [x for x, _ in dots] == pytest.approx([80, 40])
    assert [b[:2] for b in bars] == [pytest.approx((70, 90)), pytest.approx((30, 50))]
    assert any(set(line.get_xdata()) == {25.0} for line in axes.get_lines())


def test_losses_and_their_running_mean_are_those_of_the_metrics(drawn):
    rng = np.random.default_rng(0)
    lines = [{"step": n, "stage": "a", "loss": float(rng.uniform(2, 3))} for n in range(1, 241)]
    plots.loss_plot({"a": lines}, {"told nothing": 1.5})
    axes = drawn[0].axes[0]
    raw, smooth = axes.get_lines()[:2]
    loss = np.array([line["loss"] for line in lines])
    assert list(raw.get_ydata()) == loss.tolist() and list(raw.get_xdata()) == [*range(1, 241)]
    # A fortieth of 240 is 6: three on either side.
    expected = [loss[max(0, n - 3) : n + 4].mean() for n in range(240)]
    assert list(smooth.get_ydata()) == pytest.approx(expected)
    assert any(set(np.asarray(line.get_ydata())) == {1.5} for line in axes.get_lines())


def test_the_forest_of_an_analysis_has_changes_of_perplexity(drawn):
    estimates = [Estimate(-0.2, -0.3, -0.1, 1, 40), Estimate(0.1, None, None, 1, 4)]
    lines = tuple(Line(f"of {n}", "plain", "all", e) for n, e in enumerate(estimates))
    write.forest(write.Answer(QUESTIONS["scaling"], lines))
    dots, bars = points(drawn[0].axes[0])
    percent = [100 * (np.exp(e.value) - 1) for e in estimates]
    assert dots == [pytest.approx((x, row)) for row, x in enumerate(percent)]
    assert bars == [pytest.approx((100 * np.expm1(-0.3), 100 * np.expm1(-0.1), 0))]
    saved = (
        Line("told", "plain", "all", Estimate(0.44, 0.4, 0.5, 1, 40), "share of tokens saved"),
    )
    write.forest(write.Answer(QUESTIONS["learning_efficiency"], saved))
    dots, bars = points(drawn[1].axes[0])
    assert dots == [pytest.approx((44, 0))] and bars == [pytest.approx((40, 50, 0))]


def test_what_a_run_was_is_counted_from_its_settings_and_metrics(tmp_path, world):
    folder = make_run(tmp_path / "run", world.store, fields=("country",))
    record = json.loads((folder / "run.json").read_text())
    metrics = [{"loss": 10.0 - n, "tokens_per_second": speed}
               for n, speed in enumerate([1, 100, 7, 7, 7, 7, 7, 7, 7, 7] * 2)]  # fmt: skip
    about = {"step": 100, "steps": 100, "conditioned": True, "policy_hashes": {"a": "b"}}
    run = SimpleNamespace(record=record, metrics=metrics)
    table = training(SimpleNamespace(runs={"a": run}, evaluation={"runs": {"a": about}}))
    (row,) = ([cell.text for cell in row] for row in table.rows)
    # 100 steps of 4 sequences of 256; the last two losses of twenty; the median speed.
    assert row == ["a", "12,345", "100", "102,400", f"{(10 - 18 + 10 - 19) / 2:.3f}", "7"]


def test_the_floor_s_gain_is_the_difference_of_its_lines(drawn):
    lines = [{"condition": c, "run": None, "title": t, "body": b}
             for c, t, b in (("with", 3.0, 60.0), ("without", 5.0, 71.5))]  # fmt: skip
    tokens = 40.0
    per_token = {line["condition"]: (line["title"] + line["body"]) / tokens for line in lines}
    documents = {"scored": 1, "in_split": 1, "split": "test", "title_tokens": 1, "body_tokens": 1,
                 "cut": 0, "skipped": {}, "controls": {}}  # fmt: skip
    floor = {"lines": lines, "per_token": per_token, "tokens_per_document": tokens, "documents": 9}
    found = _perplexity(EVALUATION | {"documents": documents, "floor": floor, "runs": {
        name: run | {"conditioned": True, "policy_hashes": {}}
        for name, run in EVALUATION["runs"].items()
    }})  # fmt: skip
    assert found["floor_gain"] == "13.50" and found["floor_documents"] == "9"


def test_an_accuracy_stands_where_it_is_however_far_from_the_others(drawn):
    conditions = ["with", "without", "plain", "as_gb"]
    cells = [
        {"group": "all", "rule": "by_sum", "kind": "local", "run": "a", "condition": condition,
         "accuracy": rate, "low": rate - 0.1, "high": rate + 0.1, "chance": 0.25}
        for condition, rate in zip(conditions, (0.9, 0.25, 0.26, 0.24), strict=True)
    ]  # fmt: skip
    plots.questions_plot({
        "runs": {"a": {}}, "questions": {"cells": cells, "conditions": conditions}
    })  # fmt: skip
    dots, bars = points(drawn[0].axes[0])
    assert [x for x, _ in dots] == pytest.approx([90, 25, 26, 24]) and len(bars) == 4
    assert not any("\u2192" in text.get_text() for text in drawn[0].axes[0].texts)
