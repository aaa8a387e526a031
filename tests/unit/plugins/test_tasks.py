"""Tasks of the evaluation from outside: questions, a whole evaluation, and what goes wrong."""

import json

import pytest

from eval.config import EvalConfig
from eval.question_tasks import task_questions
from geo_nemo.common.errors import RunError, UserError
from tests.unit.plugins.outside import geo_nemo

CAPITALS = {"gb": "London", "ke": "Nairobi", "us": "Washington", "in": "Delhi", "xx": "Nowhere"}


def test_an_evaluation_asks_a_package_s_task_of_a_run_with_its_tokenizer(trained, tmp_path):
    file = tmp_path / "capitals.tsv"
    file.write_text("".join(f"{code}\t{city}\n" for code, city in CAPITALS.items()))
    settings = (
        f"runs.a={trained.run}", f"store={trained.store}", f"output={tmp_path}/eval",
        f"questions={file}", "questions_task=capitals", "conditions=[with,without]",
        "num_documents=4",
        "bootstrap_samples=100",
    )  # fmt: skip
    code, _, errors = geo_nemo("eval", *settings)
    assert code == 0, errors
    found = json.loads((tmp_path / "eval" / "eval.json").read_text())["questions"]
    assert found["skipped"] == {"a country that is not known": 1}
    assert found["cells"][0]["chance"] == pytest.approx(1 / 4)
    code, _, errors = geo_nemo("eval", *settings, "questions_options={choices: 2}")
    assert code == 0, errors
    found = json.loads((tmp_path / "eval" / "eval.json").read_text())["questions"]
    assert found["cells"][0]["chance"] == pytest.approx(1 / 2)


ROW = {"id": "1", "country": "gb", "prompt": "p", "options": ["a", "b"], "answer": "a"}


class Task:
    """Gives one good row and then what it is told to."""

    def __init__(self, path, last=None, fails=False):
        self.last, self.fails, self.path = last, fails, path

    def rows(self):
        yield ROW
        if self.fails:
            raise KeyError("stem")
        if self.last is not None:
            yield None if self.last == "None" else self.last


def asked(**options):
    config = EvalConfig(
        runs={"a": "r"}, store="s", output="o", questions_task=f"{__name__}:Task",
        questions_options=options,
    )  # fmt: skip
    return task_questions(config)


def test_rows_become_questions_and_those_that_are_none_are_counted():
    found = asked(last={**ROW, "id": "2", "answer": "c"})
    assert [question.id for question in found.questions] == ["1"]
    assert found.skipped == {"the right answer is no option": 1}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"fails": True}, r", at question 2, fails \(KeyError: 'stem'\): mend it, or give another"),
        ({"last": "None"}, r" gives NoneType for question 2, not a dict; mend it, or give another"),
        ({"last": ["a"]}, r" gives list for question 2, not a dict; mend it, or give another"),
    ],
)
def test_a_task_that_fails_or_gives_something_else_is_named(options, line):
    with pytest.raises(RunError, match=rf"^the task {__name__}:Task{line} questions_task"):
        asked(**options)


def test_a_wrong_option_a_wrong_name_and_options_of_ours_are_one_line():
    with pytest.raises(UserError, match=r"^questions_task: .*:Task: TypeError: .*'path_of'; mend"):
        asked(path_of=1)
    rest = {"runs": {"a": "r"}, "store": "s", "output": "o"}
    with pytest.raises(ValueError, match=r"capitols is not a task; there is .*file, .*or module:"):
        EvalConfig(**rest, questions_task="capitols")
    with pytest.raises(ValueError, match="questions_options are for another package's task"):
        EvalConfig(**rest, questions_options={"a": 1})
