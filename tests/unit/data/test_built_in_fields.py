"""Built-in fields over a store of 3ff4b84: two shards, with numbers of their own in each."""

import json
from pathlib import Path

import numpy as np
import pytest

from geo_nemo.config import Data, MetadataPolicy, UserError
from geo_nemo.data.audit.check import audit_stage
from geo_nemo.data.dataset import StageDataset
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.store.fields import check_columns, check_fields

STORE = Path(__file__).parents[2] / "fixtures" / "3ff4b84" / "store"
BANDS = {"low": 0, "fair": 40, "good": 70}


@pytest.fixture(scope="module")
def store():
    return TokenStore.open(STORE)


@pytest.fixture(scope="module")
def columns() -> list[dict]:
    """Each document's values, from the files of the shards."""
    manifest = json.loads((STORE / "manifest.json").read_text())
    hosts = (STORE / "hosts.txt").read_text().splitlines()
    found = []
    for shard in manifest["splits"]["train"]["shards"]:
        files = {
            name: np.fromfile(STORE / shard["path"] / f"{name}.bin", shard["files"][f"{name}.bin"]
                              ["dtype"])
            for name in ("year", "quality", "source", "country", "host", "host_map")
        }  # fmt: skip
        for i in range(shard["documents"]):
            country = shard["countries"][files["country"][i]]
            found.append({
                "year": int(files["year"][i]),
                "quality": int(files["quality"][i]),
                "source": shard["sources"][files["source"][i]],
                "country": country,
                "continent": manifest["continents"][country],
                "host": hosts[files["host_map"][files["host"][i]]],
            })  # fmt: skip
    return found


def year(of: dict) -> str | None:
    return str(of["year"]) if of["year"] else None


CASES = {
    "year": ({}, [("YEAR", year)]),
    "host": ({}, [("HOST", lambda of: of["host"])]),
    "source": ({}, [("SOURCE", lambda of: of["source"])]),
    "quality": ({}, [("QUALITY", lambda of: str(of["quality"]))]),
    "bands": (
        {"fields": ("quality",), "forms": {"quality": "coarse"}, "quality_bands": BANDS},
        [("QUALITY", lambda of: "good" if of["quality"] >= 70 else "fair" if of["quality"] >= 40
          else "low")],
    ),
    "decade": (
        {"fields": ("date",), "forms": {"date": "decade"}},
        [("DATE", lambda of: f"{of['year'] // 10 * 10}s" if of["year"] else None)],
    ),
    "year of date": ({"fields": ("date",), "forms": {"date": "year"}}, [("DATE", year)]),
    "many": (
        {"fields": ("year", "country", "source", "continent")},
        [("YEAR", year), ("COUNTRY", lambda of: of["country"]),
         ("SOURCE", lambda of: of["source"]), ("CONTINENT", lambda of: of["continent"])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_document_of_an_old_store_shows_its_own_value(store, columns, name):
    settings, lines = CASES[name]
    policy = MetadataPolicy(**{"fields": (name,), **settings})
    split, tokenizer = store.split("train"), store.tokenizer()
    check_fields(policy, split, "metadata")
    data = Data(store="unused", seq_length=96, packing_window=16)
    sequences = StageDataset(split, data, policy, tokenizer, np.arange(len(split)), 3)
    seen = set()
    for number in range(len(sequences)):
        sequence = sequences[number]
        for place, fragment in enumerate(sequences.fragments(number)):
            span = slice(sequence.cu_seqlens[place], sequence.cu_seqlens[place + 1])
            shown = sequence.labels[span][sequence.label_kinds[span] == Kind.METADATA].tolist()
            values = [(label, value(columns[fragment.document])) for label, value in lines]
            texts = [f"{label}: {value}" for label, value in values if value is not None]
            parts = [texts[0], *(f"\n{text}" for text in texts[1:]), "\n\n"] if texts else []
            assert shown == [token for part in parts for token in tokenizer.encode(part)]
            seen.add(fragment.document)
    assert seen == set(range(len(split)))
    assert audit_stage(sequences).broken == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fields": ("language",)}, "language as plain needs the column language, which .*host"),
        ({"fields": ("date",)}, r"date as day needs .*; forms\.date may be year or decade here"),
        ({"fields": ("topik",)}, "no field topik, .* did you mean topic"),
        (
            {"fields": ("quality",), "forms": {"quality": "coarse"}},
            r"quarters of this store are \{low: 0, fair: \d+, good: \d+, high: \d+\}",
        ),
    ],
)
def test_what_a_store_lacks_is_one_line(store, settings, words):
    with pytest.raises(UserError, match=words) as caught:
        check_fields(MetadataPolicy(**settings), store.split("train"), "metadata")
    assert "\n" not in str(caught.value)


def test_a_form_is_named_as_the_option_takes_it(store):
    with pytest.raises(UserError, match="; --policy date:FORM may be year or decade here"):
        check_columns(MetadataPolicy(fields=("date",)), store, "--policy")
