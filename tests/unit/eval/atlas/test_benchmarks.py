"""Benchmarks in their released schemas: which questions their rows are, and what is no question."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from eval.atlas.benchmarks import first_country
from eval.atlas.factbook import NUMBERS, choices
from eval.atlas.find import find
from eval.kinds import BENCHMARKS, TASKS
from eval.question_files import questions_of
from geo_nemo.config import UserError
from tests.unit.eval.atlas import released

NAME = Path("shared", "data", "factbook.jsonl.gz")
FACTBOOK = next((p / NAME for p in Path(__file__).parents if (p / NAME).exists()), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return released.write_all(tmp_path_factory.mktemp("benchmarks"))


def asked(folder, name):
    (found,) = find(folder, (name,))
    return questions_of(TASKS.make(name, "x", found.path).rows(), str(found.path), 1)


def test_each_is_found_by_the_name_that_it_was_released_under(folder):
    assert {found.name: found.path.name for found in find(folder, None)} == {
        "global_mmlu": "Global-MMLU", "blend": "BLEnD", "include": "include-base-44",
        "culturalbench": "CulturalBench-Easy.parquet", "geomlama": "gd_prompt_en.tsv",
        "globalopinionqa": "global_opinions.csv", "localnewsqa": "localnewsqa.parquet",
        "factbook": "factbook.jsonl.gz",
    }  # fmt: skip


def test_global_mmlu_s_sensitive_and_agnostic_questions_are_kinds_of_their_own(folder):
    found = asked(folder, "global_mmlu")
    assert [q.kind for q in found.questions[:3]] == [
        "culturally sensitive", "culturally agnostic", "not annotated"
    ]  # fmt: skip
    first, second = found.questions[:2]
    assert (first.country, first.continent, first.answer) == ("gb", "Europe", 0)
    assert (second.country, second.continent) == ("", "")
    # The split for examples is not asked.
    assert len(found.questions) == 12 and not found.skipped


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("['United Kingdom', 'Ireland']", "gb"), ("Kenya", "ke"), ("-", ""), ("[]", ""), (None, ""),
        ("United States of America (USA)", "us"), ("['South Korea']", "kr"), ("Atlantis", ""),
    ],
)  # fmt: skip
def test_the_first_country_of_a_cell(cell, code):
    assert first_country(cell) == code


def test_blend_s_instruction_and_options_are_no_part_of_the_question(folder):
    found = asked(folder, "blend")
    assert [q.country for q in found.questions[:4]] == ["gb", "kr", "id", "ng"]
    first = found.questions[0]
    assert first.prompt == "What do children eat at school in UK?"
    assert first.options == ("tea 0", "rice", "bread", "fish") and first.answer == 0
    assert found.questions[1].answer == 1 and not found.skipped


def test_culturalbench(folder):
    found = asked(folder, "culturalbench")
    assert [q.country for q in found.questions[:2]] == ["zw", "cz"]
    assert found.questions[3].options == ("a hat 3", "a coat", "a scarf", "gloves")
    assert found.questions[3].answer == 3


def test_include_s_answer_is_a_number_of_an_option_even_where_options_are_numbers(folder):
    found = asked(folder, "include")
    assert [q.answer for q in found.questions[:4]] == [0, 1, 2, 3]
    assert [q.kind for q in found.questions[:3]] == ["regional", "region agnostic", "regional"]
    assert {q.country for q in found.questions} == {"gr"}


def test_geomlama_s_several_right_answers_are_each_asked_among_the_wrong_ones(folder):
    found = asked(folder, "geomlama")
    by_id = {q.id: q for q in found.questions}
    assert by_id["gd_prompt_en/0/0"].options == ("tea", "milk", "beer", "water")
    assert by_id["gd_prompt_en/2/0"].options == ("tea", "beer", "water")
    assert by_id["gd_prompt_en/2/1"].options == ("milk", "beer", "water")
    assert all(q.answer == 0 for q in found.questions)
    assert {q.country for q in found.questions} == {"cn", "ke"}
    # 6 rows of one answer and 6 of two; the empty row between topics is none and not counted.
    assert len(found.questions) == 18 and not found.skipped
    assert by_id["gd_prompt_en/2/0"].unit == by_id["gd_prompt_en/2/1"].unit
    assert len({q.unit for q in found.questions}) == 12


def test_one_question_in_many_forms_is_one_of_every_interval(folder, tmp_path):
    """Of other options, in other languages, to other countries."""
    blend = asked(folder, "blend")
    assert set(blend.repeats.tolist()) == {0, 1, 2, 3}  # one each country
    opinions = asked(folder, "globalopinionqa")
    assert len(set(opinions.repeats.tolist())) == len({q.prompt for q in opinions.questions})
    for language in ("en", "fr"):
        rows = [released.global_mmlu(n) for n in range(3)]
        asks = [row | {"question": f"{language} {row['question']}"} for row in rows]
        released.parquet(tmp_path / "global_mmlu" / f"{language}.parquet", asks)
    assert asked(tmp_path, "global_mmlu").repeats.tolist() == [0, 1, 2] * 2


def test_global_opinions_ask_each_country_what_most_of_it_said(folder):
    found = asked(folder, "globalopinionqa")
    mine = {q.country: q.answer for q in found.questions if q.id.startswith("global_opinions/0/")}
    assert mine == {"gb": 1, "ke": 0, "in": 2}
    assert found.skipped == {
        "a country that is not known": 12, "not a portion for each option": 12
    }  # fmt: skip


def test_code_in_a_cell_is_not_run(tmp_path):
    row = released.globalopinionqa(0) | {"options": "__import__('os').system('true')"}
    released.delimited(tmp_path / "global_opinions.csv", [row, released.globalopinionqa(1)])
    found = asked(tmp_path, "globalopinionqa")
    assert found.skipped["options or selections are no list"] == 1


def test_a_figure_of_the_factbook_stands_once_among_figures_a_factor_apart(folder):
    found = asked(folder, "factbook")
    by_id = {q.id: q for q in found.questions}
    assert set(by_id) == {"ke/area", "ke/coastline", "ke/population", "ke/median age", "gb/urban"}
    area = by_id["ke/area"]
    figures = [int(o.removesuffix(" sq km").replace(",", "")) for o in area.options]
    assert area.options[area.answer] == "580,367 sq km"
    assert all(b == pytest.approx(2 * a, abs=1) for a, b in pairwise(figures))
    # The first chapter that has a figure counts; what is 0 has no figures a factor apart.
    assert by_id["ke/population"].options[by_id["ke/population"].answer] == "55,751,717"


def test_no_option_is_beyond_what_a_figure_can_be_and_every_rank_is_drawn():
    urban = next(number for number in NUMBERS if number.name == "urban")
    for n in range(40):
        options, place = choices("84.6", urban, f"key {n}")
        assert place == 3 and max(float(o.rstrip("%")) for o in options) <= 100
    area = next(number for number in NUMBERS if number.name == "area")
    assert {choices("100", area, f"key {n}")[1] for n in range(40)} == {0, 1, 2, 3}


@pytest.mark.skipif(FACTBOOK is None, reason="the shared factbook is not here")
def test_the_real_factbook_has_most_figures_of_most_countries():
    found = questions_of(TASKS.make("factbook", "x", FACTBOOK).rows(), "factbook", 1)
    assert len(found.questions) > 2000 and not found.skipped
    assert len({q.country for q in found.questions}) > 200


def test_a_file_of_another_schema_names_the_column_that_it_lacks(tmp_path):
    released.parquet(tmp_path / "blend.parquet", [released.culturalbench(0)])
    with pytest.raises(UserError, match=r"blend\.parquet has no column MCQID: Blend has MCQID, "):
        asked(tmp_path, "blend")


def test_a_cell_that_cannot_be_read_is_counted_and_the_rest_is_asked(tmp_path):
    rows = [released.blend(0) | {"choices": "{not JSON"}, released.blend(1)]
    released.delimited(tmp_path / "blend.csv", rows)
    found = asked(tmp_path, "blend")
    assert len(found.questions) == 1 and found.skipped == {"a cell that cannot be read": 1}


def test_two_files_of_one_benchmark_and_no_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"benchmarks=.*nothing: no such folder"):
        find(tmp_path / "nothing", None)
    for name in ("blend.csv", "BLEnD-2.csv"):
        released.delimited(tmp_path / name, [released.blend(0)])
    with pytest.raises(UserError, match=r"BLEnD-2\.csv and blend\.csv are both blend: move one"):
        find(tmp_path, None)


def test_every_benchmark_says_where_its_schema_is_from():
    for name in BENCHMARKS:
        task = TASKS.load(name, "x")
        assert task.source and task.files and task.columns


@pytest.mark.parametrize("name", ["global_mmlu", "culturalbench", "blend"])
def test_an_answer_s_letter_is_no_option_s_text(tmp_path, name):
    """Of blood types, the second is right: A, and not the third, whose text is B."""
    types = ["O", "A", "B", "AB"]
    row = getattr(released, name)(1)
    assert "B" in (row.get("answer"), row.get("answer_idx"))
    row |= {f"option_{n}": t for n, t in zip("abcd", types, strict=True) if f"option_{n}" in row}
    row |= {
        f"prompt_option_{n}": t
        for n, t in zip("abcd", types, strict=True)
        if f"prompt_option_{n}" in row
    }
    if name == "blend":
        row["choices"] = json.dumps(dict(zip("ABCD", types, strict=True)))
    released.parquet(tmp_path / f"{name}.parquet", [row])
    (question,) = questions_of(
        TASKS.make(name, "x", tmp_path / f"{name}.parquet").rows(), "x", 1
    ).questions
    assert question.options[question.answer] == "A"


def test_selections_that_are_no_countries_are_counted(tmp_path):
    row = released.globalopinionqa(0) | {"selections": "[0.5, 0.5]"}
    released.delimited(tmp_path / "global_opinions.csv", [row, released.globalopinionqa(1)])
    found = asked(tmp_path, "globalopinionqa")
    assert found.skipped["options or selections are no list"] == 1
