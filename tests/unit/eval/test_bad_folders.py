"""Models' folders and texts that are not what they say: one line, and no folder is left."""

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertLMHeadModel

from eval.cells import load_model
from eval.config import EvalConfig
from eval.corpus import open_corpus
from eval.harness import Texts, Told
from eval.plan import make_plan
from eval.report.threats import _untold
from eval.runner import evaluate
from eval.scorers.load import load
from eval.summary import describe_documents
from geo_nemo.cli.outputs import output_folder
from geo_nemo.common.lock import folder_lock
from geo_nemo.config import MetadataPolicy, RunError, UserError
from tests.unit.eval import hub
from tests.unit.eval.fakes import make_run


@pytest.fixture
def llama(world, tmp_path):
    folder = tmp_path / "llama"
    hub.save_byte_tokenizer(folder)
    hub.save_llama(folder, 400)
    return folder


@pytest.fixture
def table(world, tmp_path):
    return pq.read_table(hub.save_corpus(tmp_path / "whole.parquet", world.documents))


def config_of(tmp_path, run, texts, **settings) -> EvalConfig:
    return EvalConfig(
        runs={"a": str(run)}, corpus=str(texts), output=str(tmp_path / "out"), device="cpu",
        conditions=("without",), bootstrap_samples=100, **settings,
    )  # fmt: skip


def refused(config: EvalConfig) -> str:
    """What is said of the first model of an evaluation, which must be one line."""
    with pytest.raises(UserError) as raised:
        plan = make_plan(config)
        model = plan.models["a"]
        load_model(model, plan.tokenizers["a"], plan.seq_length, lambda m: load(m, config))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def change_weights(folder, change) -> None:
    path = folder / "model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


LAST = "model.layers.1.mlp.down_proj.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop(LAST), f"lacks the weights {LAST}: fetch or export"),
        (lambda weights: weights.update({LAST: torch.zeros(3, 4)}), r"are [3, 4], and its config"),
        (lambda weights: weights[LAST].__setitem__((0, 0), torch.nan), f"{LAST} are not finite"),
    ],
)
def test_weights_that_are_not_the_model_s_are_refused_not_made_up(
    llama, table, tmp_path, change, words
):
    change_weights(llama, change)
    assert words in refused(config_of(tmp_path, llama, tmp_path / "whole.parquet"))
    assert not (tmp_path / "out").exists()


def test_a_model_that_reads_ahead_is_no_causal_one(table, tmp_path):
    torch.manual_seed(0)
    folder = tmp_path / "bert"
    hub.save_byte_tokenizer(folder)
    BertLMHeadModel(BertConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=256,
    )).save_pretrained(folder)  # fmt: skip
    config = config_of(tmp_path, folder, tmp_path / "whole.parquet")
    assert "give a causal language model" in refused(config)
    config_file = folder / "config.json"
    settings = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(settings | {"is_decoder": True}))
    plan = make_plan(config)
    assert load(plan.models["a"], config).is_causal()


def test_weights_that_no_layer_takes_are_told(llama, table, tmp_path, caplog):
    change_weights(llama, lambda weights: weights.update({"model.layers.9.x": torch.zeros(2)}))
    config = config_of(tmp_path, llama, tmp_path / "whole.parquet")
    with caplog.at_level("WARNING"):
        load(make_plan(config).models["a"], config)
    assert "weights model.layers.9.x are in its files, and no part of the model" in caplog.text


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("text", pa.array([5] * 60), "column text is int64, and should be text"),
        ("country", pa.array([1] * 60), "column country is int64, and should be text"),
        ("year", pa.array(["2020"] * 60), "column year is string, and should be whole numbers"),
        ("text", pa.array([""] * 60), "no document of split test has a text"),
    ],
)
def test_columns_of_other_types_and_empty_texts_are_named(
    llama, table, tmp_path, column, values, words
):
    if column in table.column_names:
        table = table.drop_columns([column])
    table = table.append_column(column, values)
    table = table.drop_columns(["title"]) if column == "text" else table
    pq.write_table(table, tmp_path / "bad.parquet")
    assert words in refused(config_of(tmp_path, llama, tmp_path / "bad.parquet"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("quality", 0.5, "column quality is double, and should be whole numbers"),
        ("source", 1, "column source is int64, and should be text"),
        ("topic", 1.5, "column topic is double, and should be text"),
        ("date", date(2020, 1, 2), "column date is date32[day], and should be text"),
    ],
)
def test_a_column_of_another_type_is_refused_where_a_field_reads_it_alone(
    llama, table, tmp_path, column, value, words
):
    """Another's corpus may have a date or a quality of its own, of which no model is told."""
    table = table.drop_columns([column] if column in table.column_names else [])
    pq.write_table(table.append_column(column, pa.array([value] * 60)), tmp_path / "own.parquet")
    corpus = tmp_path / "own.parquet"
    plan = make_plan(config_of(tmp_path, llama, corpus))
    assert len(plan.documents) == 60
    assert (plan.items.record(0).column(column) or None) is None
    said = refused(config_of(tmp_path, llama, corpus, groups=(column,)))
    assert said.startswith("groups: ") and f"{words}: write it so, or leave {column} out" in said
    # Also where another file has what a field can read.
    words = pa.array([7 if column == "quality" else "news"] * 30)
    several = parts_of(table, tmp_path / "two", {column: words}, {column: pa.array([value] * 30)})
    assert len(make_plan(config_of(tmp_path, llama, several)).documents) == 60


def test_columns_as_others_write_them_are_read(llama, table, tmp_path):
    names = table.column_names
    table = table.set_column(
        names.index("country"), "country", table["country"].combine_chunks().dictionary_encode()
    )
    table = table.set_column(names.index("hash"), "hash", pa.array(["ab"] * len(table)))
    pq.write_table(table, tmp_path / "other.parquet")
    plan = make_plan(config_of(tmp_path, llama, tmp_path / "other.parquet"))
    assert len(plan.documents) == 60 and plan.overlap == {}


def parts_of(table, folder, *changes):
    """A corpus of two files, whose columns are changed as `changes` says of each."""
    folder.mkdir()
    for number, changed in enumerate(changes):
        part = table.slice(30 * number, 30)
        for name, values in changed.items():
            part = part.drop_columns([name] if name in part.column_names else []).append_column(
                name, values
            )
        pq.write_table(part, folder / f"{number}.parquet")
    return folder


def test_files_whose_columns_differ_are_read_where_they_can_be(llama, table, tmp_path):
    few, many = (pa.array([2020] * 30, kind()) for kind in (pa.int16, pa.int64))
    texts = [pa.array(["news"] * 30, kind()) for kind in (pa.string, pa.large_string)]
    corpus = parts_of(table, tmp_path / "alike", {"year": few, "topic": texts[0]},
                      {"year": many, "topic": texts[1]})  # fmt: skip
    assert len(make_plan(config_of(tmp_path, llama, corpus)).documents) == 60
    nothing = pa.nulls(30)
    corpus = parts_of(table, tmp_path / "null", {"year": nothing}, {"year": nothing})
    plan = make_plan(config_of(tmp_path, llama, corpus))
    assert plan.items.year.tolist() == [0] * 60
    words = pa.array(["news"] * 30)
    corpus = parts_of(table, tmp_path / "other", {"topic": words},
                      {"topic": words.dictionary_encode()})  # fmt: skip
    said = refused(config_of(tmp_path, llama, corpus))
    assert "its files have a column of several types" in said and "with one schema" in said


@pytest.mark.parametrize("kind", ["text", "list", "dictionary", "year"])
def test_a_field_that_late_documents_alone_have_is_there(llama, table, tmp_path, kind):
    values = {"text": ["", "sport"], "list": [[], ["sport"]], "year": [0, 2020],
              "dictionary": [None, "sport"]}[kind]  # fmt: skip
    nothing, last = values
    column = pa.array([nothing] * 1999 + [last])
    column = column.dictionary_encode() if kind == "dictionary" else column
    name = "year" if kind == "year" else "topic"
    whole = pa.table({"text": ["a b"] * 2000, "country": ["gb"] * 2000, name: column})
    pq.write_table(whole, tmp_path / "late.parquet")
    open_corpus(tmp_path / "late.parquet", "test").check(MetadataPolicy(fields=(name,)), "metadata")
    pq.write_table(whole.slice(0, 1999), tmp_path / "none.parquet")
    with pytest.raises(UserError, match=f"no document of .* has a {name}"):
        open_corpus(tmp_path / "none.parquet", "test").check_groups((name,))


def test_a_column_that_stands_twice_is_named(llama, table, tmp_path):
    twice = table.append_column("host", table["host"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    words = "has two columns host: give each a name of its own"
    assert words in refused(config_of(tmp_path, llama, tmp_path / "twice.parquet"))


@pytest.mark.parametrize("nothing", [None, "", "unknown"])
def test_documents_that_nobody_placed_are_of_no_country(llama, table, tmp_path, nothing):
    where = pa.array([nothing if n % 2 else c for n, c in enumerate(table["country"].to_pylist())])
    there = table.drop_columns(["country", "continent"]).append_column("country", where)
    pq.write_table(there, tmp_path / "some.parquet")
    config = config_of(tmp_path, llama, tmp_path / "some.parquet").model_copy(
        update={"conditions": ("without", "plain")}
    )
    result = evaluate(config, lambda model: load(model, config))
    assert result["documents"]["by_country"]["unknown"]["documents"] == 30
    groups = {(c["group"], c["name"]) for c in result["perplexity"]["cells"]}
    assert {("country", "unknown"), ("continent", "unknown")} <= groups
    assert not groups & {("country", ""), ("continent", ""), ("continent", "none")}
    wide = {e["name"] for e in result["perplexity"]["effects"]
            if e["group"] == "country" and e["low"] is not None}  # fmt: skip
    # Of two groups that are large enough for an interval one is no country.
    assert wide == {"gb", "unknown"} and result["countries"] == []


def test_of_documents_that_nobody_placed_no_other_is_told_wrong_and_the_report_counts_them(
    llama, table, tmp_path
):
    countries = table["country"].to_pylist()
    where = [None if n % 3 == 0 else c for n, c in enumerate(countries)]
    there = table.drop_columns(["country", "continent"]).append_column("country", pa.array(where))
    hosts = [None if n % 6 == 0 else h for n, h in enumerate(table["host"].to_pylist())]
    there = there.set_column(there.column_names.index("host"), "host", pa.array(hosts))
    pq.write_table(there, tmp_path / "some.parquet")
    plan = make_plan(
        config_of(tmp_path, llama, tmp_path / "some.parquet").model_copy(
            update={"conditions": ("with", "wrong_country")}
        )
    )
    told = [plan.items.record(n) for n in plan.shown.source["wrong_country"].tolist()]
    for place, record in enumerate(told):
        own = plan.items.record(place)
        assert record.country not in ("", own.country) if own.host else record == own
    found = describe_documents(plan)
    assert (found["untold"], found["unknown_country"]) == (10, 10)
    # What nobody knows is no host.
    assert found["hosts"] == len({host for host in hosts if host})
    assert found["controls"]["wrong_country"]["same_country"] == 0
    said = " ".join(_untold({"documents": found}))
    assert "10 documents have no metadata" in said and "10 documents are of unknown" in said


def test_the_corpus_inside_of_a_preparation_is_named(llama, tmp_path):
    (tmp_path / "prep" / "corpus").mkdir(parents=True)
    (tmp_path / "prep" / "corpus" / "corpus.json").write_text("{}")
    assert f"give {tmp_path / 'prep' / 'corpus'}" in refused(
        config_of(tmp_path, llama, tmp_path / "prep")
    )


def test_training_is_looked_up_in_the_store_beside_a_corpus(world, table, tmp_path, loader):
    hashes = np.asarray(world.store.split("train").content_hash)
    known = [int(value).to_bytes(8, "little") + bytes(8) for value in hashes]
    values = pa.array(known + [bytes(16)] * (len(table) - len(known)), pa.binary(16))
    table = table.set_column(table.column_names.index("hash"), "hash", values)
    pq.write_table(table, tmp_path / "seen.parquet")
    run = make_run(tmp_path / "with", world.store, fields=("country",))
    record = json.loads((run / "run.json").read_text())
    record["config"]["data"]["store"] = str(tmp_path / "moved")
    (run / "run.json").write_text(json.dumps(record))
    config = config_of(tmp_path, run, tmp_path / "seen.parquet", store=str(world.store.root))
    assert f"was trained on {len(known)} of the 60 documents" in refused(config)
    allowed = config.model_copy(update={"allow_overlap": True})
    assert evaluate(allowed, loader)["documents"]["overlap_not_known"] == []


def test_documents_that_repeat_another_are_counted(llama, table, tmp_path):
    pq.write_table(pa.concat_tables([table, table.slice(0, 4)]), tmp_path / "twice.parquet")
    config = config_of(tmp_path, llama, tmp_path / "twice.parquet")
    found = evaluate(config, lambda model: load(model, config))["documents"]
    assert (found["scored"], found["repeated"]) == (64, 4)
    assert found["overlap_not_known"] == ["a"]


@pytest.mark.parametrize("error", [UserError, RunError])
def test_an_error_leaves_no_empty_folder_and_what_was_there_stays(tmp_path, error):
    def fail(folder, also=None):
        with pytest.raises(error), output_folder(folder):
            if also is not None:
                (folder / also).write_text("")
            raise error("no")

    fail(tmp_path / "new")
    assert not (tmp_path / "new").exists()

    # A disk that was full at the first cell.
    def full(folder):
        with pytest.raises(error), output_folder(folder):
            (folder / "cache").mkdir()
            raise error("no")

    full(tmp_path / "full")
    assert not (tmp_path / "full").exists()
    fail(tmp_path / "begun", "cell.npz")
    assert (tmp_path / "begun" / "cell.npz").exists()
    (tmp_path / "there").mkdir()
    fail(tmp_path / "there")
    assert (tmp_path / "there").exists()


def test_a_folder_that_another_process_has_begun_is_left_to_it(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    with folder_lock(folder):
        # As if it had come just after this process looked.
        monkeypatch.setattr(type(folder), "exists", lambda self, **_: False)
        with pytest.raises(UserError, match="another process is writing"), output_folder(folder):
            pass
        monkeypatch.undo()
        assert folder.exists()


@pytest.mark.parametrize("place", ["none", "none@7", "empty"])
def test_a_model_of_the_harness_is_named_as_it_is_typed_there(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=rf"^path={tmp_path / place}") as caught:
        Texts(str(tmp_path / place), Told(), False, "cpu", "auto", "")
    assert "runs." not in str(caught.value)
