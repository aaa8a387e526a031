"""docs/metadata.md, `A column of your input`: its commands, on a CSV with a topic."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from geo_nemo.config.load import compose
from tests.support.command import SMALL
from tests.unit.data_prep.worlds import records
from tests.unit.plugins.outside import geo_nemo

PAGE = Path(__file__).parents[3] / "docs" / "metadata.md"
TOPICS = ("sport", "arts", "politics", "")
# What makes the walk one of seconds, and is about no topic.
FEW = {
    "prep": ("tokenizer.vocab_size=330", "splits.test=0.2", "splits.train=0.78", "corpus=none"),
    "train": (*SMALL[1:], "train.steps=6", "train.warmup_steps=1", "train.micro_batch_size=4"),
    "eval": ("bootstrap_samples=100",),
    "report": (),
}
ABOUT_TOPICS = ("fields.extra=topic", "stages.condition.metadata.fields=[url,country,topic]")


def commands() -> list[list[str]]:
    """The first block of the section, word by word, without `geo-nemo`."""
    section = PAGE.read_text().split("## A column of your input")[1]
    block = re.findall(r"```\n(.*?)```", section, re.DOTALL)[0]
    return [shlex.split(line)[1:] for line in block.splitlines()]


@pytest.fixture(scope="module")
def news(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    rows = [
        {"url": r["url"], "title": r["title"], "text": r["text"], "topic": TOPICS[i % 4]}
        for i, r in enumerate(records(240))
    ]
    with (folder / "news.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["url", "title", "text", "topic"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_a_new_user_s_way_from_a_csv_with_a_topic_to_the_report(news, monkeypatch):
    monkeypatch.chdir(news)
    for words in commands():
        code, _, err = geo_nemo(*words, *FEW[words[0]])
        assert code == 0, err
    found = json.loads(Path("runs/eval/eval.json").read_text())["perplexity"]["cells"]
    by_topic = {cell["name"] for cell in found if cell["group"] == "topic"}
    assert by_topic == {"arts", "politics", "sport", "unknown"}
    page = Path("runs/report.html").read_text()
    assert "By topic: 4 groups" in page
    record = json.loads(Path("runs/topic/run.json").read_text())
    shown = record["config"]["stages"]["condition"]["metadata"]["fields"]
    assert shown == ["url", "country", "topic"]


def test_two_words_of_it_are_about_topics():
    about = [word for words in commands() for word in words if "topic" in word.partition("=")[2]]
    assert [word for word in about if "runs/topic" not in word] == list(ABOUT_TOPICS)


@pytest.mark.parametrize(
    ("recipe", "word"), [("prep", ABOUT_TOPICS[0]), ("train", ABOUT_TOPICS[1])]
)
def test_in_a_recipe_each_is_one_line(recipe, word, tmp_path):
    key, _, value = word.partition("=")
    *above, last = key.split(".")
    line = "".join(f"{name}: {{" for name in above) + f"{last}: {value}" + "}" * len(above)
    file = tmp_path / "mine.yaml"
    file.write_text(f"defaults: [{recipe}, _self_]\n{line}\n")
    assert compose(str(file)) == compose(recipe, (word,))
