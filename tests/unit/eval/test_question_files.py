"""Files of questions in every schema, what is wrong with them, and LocalNewsQA's sample."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from eval.config import EvalConfig
from eval.question_files import for_choices, kept_for_choices, read_questions
from geo_nemo.config import UserError

NAME = Path("shared", "data", "localnewsqa_sample.parquet")
SAMPLE = next((p / NAME for p in Path(__file__).parents if (p / NAME).exists()), None)
ROW = {
    "id": "a", "question": "Who leads?", "options": ["Ann", "Ben", "Cy", "Di"],
    "correct_answer": "Ben", "country": "Hong Kong", "split_type": "ambiguous",
    "contrast_answer": "Cy", "contrast_country": "United Kingdom",
}  # fmt: skip


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def one(path, **names):
    (question,) = read_questions(path, 0, names).questions
    return question


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_localnewsqa_s_schema(tmp_path, kind):
    path = tmp_path / f"q.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([ROW]), path)
    else:
        lines(path, ROW)
    found = one(path)
    assert (found.kind, found.country, found.continent) == ("ambiguous", "hk", "Asia")
    assert (found.answer, found.contrast, found.contrast_country) == (1, 2, "gb")
    assert found.contrast_record.continent == "Europe"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"correct_answer": "B"}, 1),
        ({"correct_answer": "b"}, 1),
        ({"correct_answer": 1}, 1),
        ({"correct_answer": "3"}, 3),
        ({"correct_answer": ["Ben"]}, 1),
        ({"correct_answer": " ben "}, 1),
        ({"options": {"A": "Ann", "B": "Ben"}, "correct_answer": "B"}, 1),
        # An option's text comes before a letter's meaning.
        ({"options": ["B", "A"], "correct_answer": "A"}, 1),
    ],
)
def test_the_right_answer_is_a_text_a_letter_or_a_number(tmp_path, changes, answer):
    assert one(lines(tmp_path / "q.jsonl", ROW | changes)).answer == answer


@pytest.mark.parametrize("names", [("A", "B"), ("option_a", "option_b"), ("Option A", "Option B")])
def test_options_may_stand_in_columns_of_their_own(tmp_path, names):
    path = tmp_path / "q.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", *names, "answer", "country"])
        writer.writeheader()
        writer.writerow({"question": "x, or y?", names[0]: "x", names[1]: "y", "answer": "B",
                         "country": "gb"})  # fmt: skip
    found = one(path)
    assert (found.prompt, found.options, found.answer) == ("x, or y?", ("x", "y"), 1)


def test_any_csv_by_a_field_map(tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text("stem\tfirst\tsecond\tright\twhere\nWhat?\tno\tyes\tyes\tKenya\n")
    names = {"prompt": "stem", "options": ("first", "second"), "answer": "right",
             "country": "where"}  # fmt: skip
    found = one(path, **names)
    assert (found.prompt, found.answer, found.country, found.id) == ("What?", 1, "ke", "row 0")
    with pytest.raises(UserError, match=r"1 no column whre, which the field map names for country"):
        one(path, **names | {"country": "whre"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"correct_answer": "Eve"}, "the right answer is no option"),
        ({"correct_answer": "E"}, "the right answer is no option"),
        ({"correct_answer": True}, "the right answer is no option"),
        ({"correct_answer": ["Ann", "Ben"]}, "several right answers"),
        ({"correct_answer": []}, "no right answers"),
        ({"correct_answer": None}, "no right answer"),
        ({"options": "Ann, Ben"}, "options are one text"),
        ({"options": None}, "no options: name their columns"),
        ({"options": ["Ann", "ann ", "Ben"]}, "an option stands twice"),
        ({"country": "Narnia"}, "a country that is not known"),
        ({"question": ""}, "prompt is empty"),
        ({"options": ["Ann", ""], "correct_answer": "Ann"}, "an option is empty"),
        ({"options": ["Ann"], "correct_answer": "Ann"}, "fewer than two options"),
        ({"split_type": "a.b"}, "kind is no name"),
    ],
)
def test_a_row_that_is_no_question_is_counted_with_its_reason(tmp_path, changes, reason):
    found = read_questions(lines(tmp_path / "q.jsonl", ROW | changes, ROW | {"id": "b"}), 0)
    assert [q.id for q in found.questions] == ["b"]
    ((told, count),) = found.skipped.items()
    assert reason in told and count == 1


def test_a_parquet_named_as_json_lines_is_named_and_so_are_others(tmp_path):
    path = tmp_path / "q.jsonl"
    pq.write_table(pa.Table.from_pylist([ROW]), path)
    for content, suffix, words in (
        (path.read_bytes(), "jsonl", "is a Parquet file: name it so"),
        (b"{}", "parquet", "is no Parquet file, whatever its name says"),
        (b"PAR1 and no more", "parquet", "cannot read questions"),
        (b"\x1f\x8b\x08 packed", "jsonl", "is compressed: unpack it"),
        (b"question\n\xff\xfe", "csv", "is no CSV in UTF-8"),
        (json.dumps(ROW).encode("utf-16"), "jsonl", "is in UTF-16: save it in UTF-8"),
        (json.dumps([ROW], indent=1)[:-2].encode(), "json", "holds no question"),
        (json.dumps({"data": [ROW]}, indent=1).encode(), "json", "one object of JSON over several"),
    ):
        bad = tmp_path / f"bad.{suffix}"
        bad.write_bytes(content)
        with pytest.raises(UserError, match=words) as raised:
            read_questions(bad, 0)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_json_is_read_as_lines_are(tmp_path, indent):
    path = tmp_path / "q.json"
    path.write_text(json.dumps([ROW, "Ben", ROW | {"id": "b"}], indent=indent), "utf-8-sig")
    found = read_questions(path, 0)
    assert [q.id for q in found.questions] == ["a", "b"] and found.skipped == {"not an object": 1}
    # A line that is a text, or a list, is none.
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(f'"Ben"\n[1]\n{json.dumps(ROW)}\n')
    assert read_questions(mixed, 0).skipped == {"not an object": 2}


@pytest.mark.parametrize("sign", [";", "\t", "|", ", "])
def test_a_table_is_read_by_whatever_parts_its_header(tmp_path, sign):
    path = tmp_path / "q.csv"
    path.write_text(f'question{sign}A{sign}B{sign}answer\n"x, or; y?"{sign}x{sign}y{sign}B\n')
    found = one(path)
    assert (found.prompt, found.options, found.answer) == ("x, or; y?", ("x", "y"), 1)


def test_a_question_that_stands_again_is_kept_and_goes_with_the_first(tmp_path):
    found = read_questions(
        lines(tmp_path / "q.jsonl", ROW, ROW | {"id": "b", "options": ROW["options"][::-1]},
              ROW | {"id": "c", "country": "Kenya"}), 0
    )  # fmt: skip
    assert found.repeats.tolist() == [0, 0, 2]


def test_questions_of_a_unit_go_together_and_their_answers_stay_in_the_cache(tmp_path):
    rows = [ROW | {"id": str(n), "question": f"Who leads {n}?", "unit": n % 2} for n in range(4)]
    path = lines(tmp_path / "q.jsonl", *rows, ROW | {"id": "none", "unit": None})
    found = read_questions(path, 0)
    assert found.repeats.tolist() == [0, 1, 0, 1, 4]
    assert "unit" not in found.questions[0].model_dump()
    path = lines(tmp_path / "m.jsonl", *({**row, "fact": 7} for row in rows))
    assert read_questions(path, 0, {"unit": "fact"}).repeats.tolist() == [0, 0, 0, 0]
    # What chooses the rule, or stands before as solved, is of no fact that is reported.
    kept = kept_for_choices(read_questions(path, 0), 0.5, 0)
    assert kept in (frozenset("02"), frozenset("13"), frozenset("0123"), frozenset())


def test_questions_for_choices_are_a_part_and_follow_from_id_and_seed(tmp_path):
    path = lines(tmp_path / "q.jsonl", *({**ROW, "id": str(n)} for n in range(1000)))
    questions = read_questions(path, 0).questions
    chosen = np.array([for_choices(q, 0.2, 1) for q in questions])
    assert 160 < chosen.sum() < 240
    assert chosen.tolist() == [for_choices(q, 0.2, 1) for q in questions]
    assert chosen.tolist() != [for_choices(q, 0.2, 2) for q in questions]
    # A larger fraction holds the smaller one.
    assert all(for_choices(q, 0.4, 1) for q, mine in zip(questions, chosen, strict=True) if mine)


def test_no_reported_question_is_one_that_choices_are_made_on(tmp_path):
    """Under another id it would be a solved example of itself."""
    rows = [{**ROW, "question": f"Who leads {n % 50}?", "id": str(n)} for n in range(150)]
    found = read_questions(lines(tmp_path / "q.jsonl", *rows), 0)
    kept = kept_for_choices(found, 0.4, 1)
    asked = {mine: {q.prompt for q in found.questions if (q.id in kept) == mine}
             for mine in (True, False)}  # fmt: skip
    assert len(asked[True]) > 10 and not asked[True] & asked[False]
    assert len(kept) == 3 * len(asked[True])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"questions_shots": 2}, "give questions_dev=0.2"),
        ({"questions_template": "Q:"}, r"has no \{question\} in it"),
        ({"questions_fields": {"stem": "x"}}, "questions_fields: no stem; there is id, kind"),
        ({"conditions": ("contrast",)}, "is one of questions: add questions="),
    ],
)
def test_settings_that_do_not_go_together_are_named(settings, words):
    with pytest.raises(ValidationError, match=words):
        EvalConfig(runs={"a": "x"}, store="s", output="o", **settings)


def test_a_line_end_of_the_command_line_is_one():
    config = EvalConfig(runs={"a": "x"}, store="s", output="o",
                        questions_template="Question: {question}\\nAnswer:")  # fmt: skip
    assert config.questions_template == "Question: {question}\nAnswer:"


@pytest.mark.skipif(SAMPLE is None, reason="LocalNewsQA's sample is not here")
def test_localnewsqa_s_sample_is_read_whole():
    found = read_questions(SAMPLE, 0)
    assert len(found.questions) == 850 and not found.skipped
    kinds = [question.kind for question in found.questions]
    assert (kinds.count("explicit"), kinds.count("ambiguous")) == (680, 170)
    assert len({q.country for q in found.questions}) == 17
    assert {q.continent for q in found.questions} == {"Africa", "America", "Asia", "Europe"}
    # In the file the right answer stands first; as they are shown, anywhere.
    first = sum(q.answer == 0 for q in found.questions)
    shown = sum(
        order[0] == q.answer for q, order in zip(found.questions, found.orders, strict=True)
    )
    assert first > 800 and 170 < shown < 260
    assert sum(q.contrast_record is not None for q in found.questions) > 100


@pytest.mark.parametrize("names", [None, {"answer": "answer_idx"}])
def test_an_answer_s_number_is_one_in_a_table_too(tmp_path, names):
    """In CSV every cell is text, and an option may be the same number."""
    (tmp_path / "q.csv").write_text(
        "id,country,question,option_a,option_b,option_c,answer_idx\nq,gb,1+1?,1,2,3,1\n"
    )
    (tmp_path / "q.jsonl").write_text(json.dumps({
        "id": "q", "country": "gb", "question": "1+1?", "options": ["1", "2", "3"],
        "answer_idx": 1,
    }))  # fmt: skip
    for file in ("q.csv", "q.jsonl"):
        (found,) = read_questions(tmp_path / file, 0, names).questions
        assert found.options[found.answer] == "2", file
