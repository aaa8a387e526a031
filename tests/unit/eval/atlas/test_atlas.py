"""`geo-nemo atlas` as a whole, on a small model of transformers and generated benchmarks."""

import csv
import json
import math
import re

import numpy as np
import pytest
from click.testing import CliRunner

from eval.atlas.config import AtlasConfig
from eval.atlas.run import plan_atlas, run_atlas
from eval.atlas.write import markdown, over_countries
from eval.bootstrap import wilson_interval
from geo_nemo.cli.atlas import command
from geo_nemo.config import UserError
from tests.unit.eval import hub
from tests.unit.eval.atlas import released
from tests.unit.eval.fakes import BigramScorer, make_run, make_store, texts


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    hub.save_byte_tokenizer(folder / "model")
    hub.save_llama(folder / "model", 259)
    data = folder / "data"
    for name, make in (("blend", released.blend), ("culturalbench", released.culturalbench)):
        released.delimited(data / f"{name}.csv", [make(n) for n in range(12)])
    return folder


def arguments(world, output, *more):
    return [f"runs.m={world / 'model'}", f"benchmarks={world / 'data'}", f"output={output}",
            "device=cpu", "bootstrap_samples=100", *more]  # fmt: skip


@pytest.fixture(scope="module")
def ran(world, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "atlas"
    done = CliRunner().invoke(command, arguments(world, output), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return output, json.loads((output / "atlas.json").read_text()), done.output


def test_what_is_there_is_asked_and_what_is_not_is_said_with_the_name_to_give_it(ran):
    output, result, said = ran
    assert list(result["benchmarks"]) == ["blend", "culturalbench"]
    missing = {m["name"]: m["files"] for m in result["missing"]}
    assert set(missing) == {"global_mmlu", "include", "geomlama", "globalopinionqa", "localnewsqa",
                            "factbook"}  # fmt: skip
    assert "| include | include* | huggingface.co/datasets/CohereForAI/include-base-44" in said
    assert (output / "atlas.md").read_text() == markdown(result)
    # A difference of rates is in points: a tenth of a half is another thing.
    assert re.search(r"told nothing \| \S+ points \|", said)


def test_accuracies_are_those_of_the_likeliest_options(ran, world):
    output, result, _ = ran
    with np.load(output / "cache" / "m.with.culturalbench.npz") as arrays:
        chosen, log_p = arrays["by_sum"], arrays["log_p"]
    assert (log_p[np.arange(12), chosen] == np.nanmax(log_p, axis=1)).all()
    right = int((chosen == np.arange(12) % 4).sum())
    wanted = ("all", "with", "by_sum")
    cell = next(c for c in result["benchmarks"]["culturalbench"]["cells"]
                if (c["group"], c["condition"], c["rule"]) == wanted)  # fmt: skip
    assert (cell["questions"], cell["correct"], cell["chance"]) == (12, right, 0.25)
    assert (cell["low"], cell["high"]) == wilson_interval(right, 12, 0.95)
    with (output / "atlas.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    cells = sum(len(of["cells"]) for of in result["benchmarks"].values())
    assert len(rows) == cells and {r["benchmark"] for r in rows} == {"blend", "culturalbench"}


def test_a_country_that_is_told_changes_what_the_model_reads(ran):
    output, _, _ = ran
    found = {}
    for condition in ("with", "without"):
        with np.load(output / "cache" / f"m.{condition}.blend.npz") as arrays:
            found[condition] = arrays["log_p"]
    assert not np.allclose(found["with"], found["without"])


def test_a_second_run_loads_no_model(ran, world):
    output, result, _ = ran
    config = AtlasConfig(runs={"m": str(world / "model")}, benchmarks=str(world / "data"),
                         output=str(output), device="cpu", bootstrap_samples=100)  # fmt: skip

    def load(model):
        raise AssertionError("everything is in the cache")

    again = run_atlas(plan_atlas(config), load)
    assert json.loads(json.dumps(again["benchmarks"])) == result["benchmarks"]


def test_fewer_questions_are_some_of_all_and_the_same_each_time(world, tmp_path):
    def ids(number, **more):
        config = AtlasConfig(runs={"m": str(world / "model")}, benchmarks=str(world / "data"),
                             output=str(tmp_path), num_questions=number, **more)  # fmt: skip
        asked = plan_atlas(config).asked["blend"]
        return [q.id for q, c in zip(asked.questions.questions, asked.for_choices, strict=True)
                if not c]  # fmt: skip

    assert len(ids(None)) == 12 and len(ids(5)) == 5
    assert set(ids(5)) < set(ids(7)) < set(ids(None)) and ids(5) == ids(5)
    assert ids(5) != ids(5, seed=2)
    # Those for choices are none of them.
    assert len(ids(4, dev=0.4)) == 4 and set(ids(4, dev=0.4)) <= set(ids(None, dev=0.4))


def test_the_worst_country_and_the_spread_are_of_countries_with_enough_questions():
    def cell(name, questions, accuracy):
        return {"group": "country", "name": name, "kind": "k", "run": "m", "condition": "with",
                "questions": questions, "accuracy": accuracy}  # fmt: skip

    cells = [cell("gb", 10, 0.9), cell("ke", 20, 0.5), cell("ng", 9, 0.0), cell("ie", 10, 0.7)]
    worst, spread = over_countries(cells, cells[0])
    assert worst["name"] == "ke" and spread == pytest.approx(math.sqrt(0.08 / 2))
    assert over_countries(cells[:1], cells[0]) == (None, None)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["benchmarks=nowhere"], "benchmarks=nowhere: no such folder"),
        (["only=[include]"], "holds no benchmark: it takes include"),
        (["only=[mmlu]"], "only"),
        (["conditions=[with,shuffled]"], "condition shuffled is none of these questions"),
        (["runs.m=nowhere"], "runs.m=nowhere: no such folder"),
        (["rules=[by_luck]"], "atlas: rules.0='by_luck'"),
        (["shots=2"], "give dev=0.2, too"),
        (["template=Answer:"], "template has no {question}"),
        (["conditions=[only_topic]"], "condition only_topic: runs.m is shown"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(world, tmp_path, more, words):
    output = tmp_path / "out"
    done = CliRunner().invoke(command, [*arguments(world, output), *more])
    assert isinstance(done.exception, UserError), done.output
    assert words in str(done.exception) and "\n" not in str(done.exception)
    assert not output.exists()


def test_a_dry_run_lists_them_and_asks_nothing(world, tmp_path):
    done = CliRunner().invoke(command, [*arguments(world, tmp_path / "out"), "--dry-run"])
    assert "blend: 12 questions\n" in done.output
    assert "include: not here; name it include..." in done.output
    assert not (tmp_path / "out").exists()


def test_a_run_on_bare_text_is_asked_about_as_it_reads_bare_text(tmp_path):
    """As an evaluation compares it: behind labels, which it never met, it is a weak baseline."""
    store = make_store(tmp_path / "data", texts(8))
    runs = {
        name: str(make_run(tmp_path / name, store, fields=fields, template=template))
        for name, fields, template in (
            ("with", ("url", "country"), "localization"), ("bare", (), "plain"),
        )
    }  # fmt: skip
    released.delimited(tmp_path / "in" / "blend.csv", [released.blend(n) for n in range(12)])
    for conditions, own in ((("with", "without", "plain"), "plain"), (("with", "without"), None)):
        config = AtlasConfig(
            runs=runs, benchmarks=str(tmp_path / "in"), output=str(tmp_path / "out"),
            bootstrap_samples=100, conditions=conditions,
        )  # fmt: skip
        result = run_atlas(plan_atlas(config), lambda model: BigramScorer())
        found = {
            (line["of"][1], line["against"][1]) for line in result["benchmarks"]["blend"]["effects"]
            if (line["of"][0], line["against"][0]) == ("with", "bare")
        }  # fmt: skip
        assert found == (
            {("with", "plain"), ("without", "plain"), ("plain", "plain")}
            if own
            else {("with", "without"), ("without", "without")}
        )
