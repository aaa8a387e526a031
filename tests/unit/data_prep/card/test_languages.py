"""Tokens a byte by language in the card of a real preparation."""

import json

import pyarrow.parquet as pq

from data_prep.card.figures import language_rates
from data_prep.card.markdown import to_markdown
from data_prep.card.page import to_html
from data_prep.config import Prep
from data_prep.graph import run_prep
from geo_nemo.store import TokenStore
from tests.unit.data_prep.card.cards import card
from tests.unit.data_prep.worlds import record, write_jsonl

LANGUAGES = ("en", "fr", "", "sw")


def test_tokens_a_byte_are_those_of_each_language_s_documents(tmp_path):
    made = [record(i) | {"lang": LANGUAGES[i % 4]} for i in range(24)]
    for row in made:
        if row["lang"] == "fr":
            row["text"] += " \u00e9\u00e9\u00e9"  # bytes, and no characters, are counted
    config = Prep(
        input=({"path": str(write_jsonl(tmp_path / "in.jsonl", made)),
                "fields": {"language": "lang"}},),
        output=str(tmp_path / "out"),
        tokenizer={"vocab_size": 300, "shrink": True},
        execution={"workers": 1},
    )  # fmt: skip
    run_prep(config)
    out = tmp_path / "out"
    tokenizer = TokenStore.open(out / "store").tokenizer()
    sizes = dict.fromkeys(("en", "fr", "sw"), 0)
    tokens = dict(sizes)
    for path in (out / "corpus").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            if row["language"]:
                sizes[row["language"]] += len(row["text"].encode())
                tokens[row["language"]] += sum(
                    len(tokenizer.encode(text))
                    for text in (f" {row['title']}\n\n", f" {row['text']}")
                )
    found = json.loads((out / "report.json").read_text())["languages"]
    assert {n: (f["text_bytes"], f["tokens"]) for n, f in found.items()} == {
        name: (sizes[name], tokens[name]) for name in sizes
    }
    markdown = (out / "card.md").read_text()
    assert f"{tokens['fr'] / sizes['fr']:.3f} |" in markdown and "tokens a byte" in markdown


def test_what_is_not_known_has_no_rate():
    known = {"en": {"text_bytes": 1000, "tokens": 250}, "fr": {"text_bytes": 9, "tokens": None}}
    data = card(languages=known)
    assert language_rates(data) == {"en": "0.250"}
    assert ["", " en ", " 42,743 ", " 97.0% ", " 0.250 ", ""][1] in to_markdown(data)
    assert "Tokens a byte of text: en 0.250." in to_html(data)
    assert "Tokens a byte of text" not in to_html(card())
