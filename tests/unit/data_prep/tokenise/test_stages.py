"""Tokenizer, shards and store of a corpus: what is in them, and that they are always the same."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_prep.engine import run_stage
from data_prep.final import final_outcomes
from data_prep.splits import OUTCOMES, split_stages
from data_prep.tokenise import tokenise_stages
from data_prep.tokenise.part_shards import EncodersDiffer
from data_prep.tokenise.sample import sample_train_texts
from data_prep.tokenise.store_stage import Store
from data_prep.tokenise.tokenise_stage import REFERENCE_ONLY, Tokenise, _encoder
from data_prep.tokenise.tokenizer_stage import TokenizerStage
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data_prep.splits.corpora import Corpus
from tests.unit.data_prep.tokenise.worlds import WRITERS, corpus_of, tree, write_sentencepiece

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    return {name: write(folder / name) for name, write in WRITERS.items()}


def split_all(corpus: Corpus) -> None:
    for stage in split_stages():
        run_stage(stage(corpus.config))


def run(corpus: Corpus) -> TokenStore:
    split_all(corpus)
    for stage in tokenise_stages():
        run_stage(stage(corpus.config))
    return TokenStore.open(Path(corpus.config.output) / "store")


def expected(corpus: Corpus, split: str) -> list[dict]:
    """The documents of a split by their outcomes, straight from the corpus."""
    found = []
    for part in corpus.parts():
        outcome = final_outcomes(corpus.config, part)
        cluster = corpus.decisions(corpus.config, part).cluster
        for row in np.flatnonzero(outcome == OUTCOMES.index(split)):
            found.append((corpus.documents[part.start + row], int(cluster[row])))
    return found


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_document_of_a_split_is_in_the_store_with_all_its_columns(
    tmp_path, monkeypatch, given, name
):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"path": str(given[name])})
    store = run(corpus)
    store.verify()
    reference = load_tokenizer(given[name])
    assert store.tokenizer().sha256 == reference.sha256
    for name_of_split in SPLITS:
        split = store.split(name_of_split)
        documents = expected(corpus, name_of_split)
        assert len(split) == len(documents) > 0
        for i, (document, cluster) in enumerate(documents):
            title = f" {document.title}\n\n" if document.title else ""
            assert split.title(i).tolist() == reference.encode(title)
            assert split.body(i).tolist() == reference.encode(f" {document.text}")
            record = split.record(i)
            assert f"{record.scheme}://{record.host}{record.path}".endswith(
                f"/story/{document.id.removeprefix('doc-')}"
            )
            assert record.scheme == document.url.partition(":")[0]
            assert (record.host, record.country) == (document.host, document.country)
            assert record.continent == document.continent
            assert split.year[i] == document.year
            assert split.quality[i] == document.quality
            assert split.sources[split.source[i]] == document.source
            assert int(split.content_hash[i]) == int.from_bytes(document.hash[:8], "big")
            assert int(split.cluster[i]) == cluster
    held = sum(len(expected(corpus, split)) for split in SPLITS)
    assert sum(e.documents for e in store.manifest.splits.values()) == held
    assert any(
        int(cluster) != int.from_bytes(d.hash[:8], "big")
        for split in SPLITS for d, cluster in expected(corpus, split)
    )  # fmt: skip


def test_the_manifest_tells_countries_sources_and_what_was_set_aside(tmp_path, monkeypatch, given):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"path": str(given["tokenizer.json"])})
    manifest = run(corpus).manifest
    assert manifest.countries == ("gb", "ke", "us")
    assert manifest.continents == {"gb": "Europe", "ke": "Africa", "us": "America"}
    assert manifest.source_names == ("now", "web")
    assert [source.name for source in manifest.sources] == ["raw.jsonl"]
    train_hits = manifest.quarantine["evaluation_overlap"]
    assert manifest.quarantine == {
        "duplicate_content": 1, "empty_text": 3, "evaluation_overlap": train_hits,
        "near_duplicate": 1,
    }  # fmt: skip
    held = sum(split.documents for split in manifest.splits.values())
    assert 0 < train_hits <= 10
    assert held + train_hits + 2 == 90


def test_order_of_tasks_and_a_second_output_change_no_byte(tmp_path, monkeypatch, given):
    settings = {"tokenizer": {"path": str(given["tokenizer.json"])}}
    first = corpus_of(tmp_path / "a", monkeypatch, **settings)
    run(first)
    second = corpus_of(tmp_path / "b", monkeypatch, **settings)
    split_all(second)
    run_stage(TokenizerStage(second.config))
    stage = Tokenise(second.config)
    tasks = stage.tasks()
    assert len(tasks) == 3
    for task in reversed(tasks):
        stage.do(task, lambda done, documents: None)
    run_stage(Store(second.config))
    one, other = tree(tmp_path / "a/store"), tree(tmp_path / "b/store")
    assert len(one) > 9 * 16
    assert one == other


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch, given):
    settings = {"tokenizer": {"path": str(given["tokenizer.model"])}}
    run(corpus_of(tmp_path / "whole", monkeypatch, **settings))
    corpus = corpus_of(tmp_path / "cut", monkeypatch, **settings)
    split_all(corpus)
    run_stage(TokenizerStage(corpus.config))
    stage = Tokenise(corpus.config)
    original, calls = Tokenise.run, []

    def stops_in_the_second(self, task, folder, progress):
        calls.append(task.id)
        result = original(self, task, folder, progress)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Tokenise, "run", stops_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage)
    assert not (tmp_path / "cut/store").exists()
    store = run(corpus)
    assert calls == ["00000-00000", "00000-00001", "00000-00001", "00000-00002"]
    store.verify()
    assert tree(tmp_path / "cut/store") == tree(tmp_path / "whole/store")


def test_shards_are_second_names_of_what_the_stage_made(tmp_path, monkeypatch, given):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"path": str(given["tokenizer.json"])})
    store = run(corpus)
    made = tmp_path / "work/tokenise/00000-00000/train/body.bin"
    assert os.stat(made).st_ino == os.stat(store.root / "train/00000/body.bin").st_ino
    assert tree(tmp_path / "tokenizer").keys() == {"tokenizer.json", "stage.json"}
    shutil.rmtree(tmp_path / "work")
    assert TokenStore.open(store.root).verify() > 0


def test_a_second_run_leaves_the_store_as_it_is(tmp_path, monkeypatch, given):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"path": str(given["tokenizer.json"])})
    store = run(corpus)
    before = os.stat(store.root).st_ino
    run(corpus)
    assert os.stat(store.root).st_ino == before
    (store.root / "train/00000/year.bin").unlink()
    assert run(corpus).verify() > 0
    assert os.stat(store.root).st_ino != before


def test_a_folder_that_is_not_ours_is_not_replaced(tmp_path, monkeypatch, given):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"path": str(given["tokenizer.json"])})
    (tmp_path / "store").mkdir()
    (tmp_path / "store/precious.txt").write_text("mine")
    with pytest.raises(UserError, match="store exists and was not made by geo-nemo prep"):
        run(corpus)
    assert (tmp_path / "store/precious.txt").read_text() == "mine"


def test_a_given_tokenizer_does_not_depend_on_the_corpus_and_names_come_from_beside_it(
    tmp_path, monkeypatch, given
):
    path = tmp_path / "mine" / "tokenizer.json"
    path.parent.mkdir()
    shutil.copyfile(given["tokenizer.json"], path)
    corpus = corpus_of(tmp_path / "a", monkeypatch, tokenizer={"path": str(path)})
    before = TokenizerStage(corpus.config).tasks()[0].key
    other = corpus_of(tmp_path / "b", monkeypatch, 50, tokenizer={"path": str(path)})
    assert TokenizerStage(other.config).tasks()[0].key == before
    named = {"bos_token": "<|end_of_text|>", "eos_token": "<|begin_of_text|>"}
    (path.parent / "tokenizer_config.json").write_text(json.dumps(named))
    assert TokenizerStage(corpus.config).tasks()[0].key != before
    corpus.install(monkeypatch)
    store = run(corpus)
    reference = load_tokenizer(path)
    assert reference.pieces([reference.eos_id]) == ["<|begin_of_text|>"]
    assert store.tokenizer().eos_id == reference.eos_id == store.manifest.tokenizer.eos_id


def test_a_tokenizer_is_trained_on_train_texts_alone(tmp_path, monkeypatch):
    corpus = corpus_of(
        tmp_path, monkeypatch, tokenizer={"vocab_size": 400, "sample_bytes": 10_000_000}
    )
    split_all(corpus)
    run_stage(TokenizerStage(corpus.config))
    seen = list(sample_train_texts(corpus.config, lambda done, documents: None))
    wanted = [each for d, _ in expected(corpus, "train") for each in (d.title, d.text)]
    assert seen == wanted
    store = run(corpus)
    assert store.manifest.tokenizer.vocab_size == 400
    assert (tmp_path / "tokenizer/tokenizer.model").is_file()


def test_a_sample_is_a_fraction_of_the_train_texts_in_their_order(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch, 400, tokenizer={"sample_bytes": 8000})
    split_all(corpus)
    seen = list(sample_train_texts(corpus.config, lambda done, documents: None))[1::2]
    wanted = [d.text for d, _ in expected(corpus, "train")]
    positions = [wanted.index(text) for text in seen]
    assert positions == sorted(positions)
    assert 0.5 < sum(len(text.encode()) for text in seen) / 8000 < 1.5
    assert len(seen) < len(wanted) / 2


def test_shards_of_another_tokenizer_are_not_taken_under_the_same_key(tmp_path, monkeypatch):
    """What is trained hangs on what an earlier run has left, which the task's key does not know."""
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"vocab_size": 400})
    first = run(corpus)
    (task,) = TokenizerStage(corpus.config).tasks()
    trained = Path(corpus.config.output) / "tokenizer"
    (trained / "tokenizer.model").unlink()
    write_sentencepiece(trained / "tokenizer.model")
    shutil.rmtree(TokenizerStage(corpus.config).task_folder(task.id))
    second = run(corpus)
    assert TokenizerStage(corpus.config).tasks() == [task]
    assert second.manifest.tokenizer.sha256 != first.manifest.tokenizer.sha256
    (document, _), *_ = expected(corpus, "train")
    assert second.tokenizer().decode(second.split("train").body(0)) == f" {document.text}"


def test_shards_stay_that_were_made_before_a_receipt_told_its_tokenizer(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"vocab_size": 400})
    split_all(corpus)
    (receipt,) = run_stage(TokenizerStage(corpus.config))
    path = TokenizerStage(corpus.config).task_folder("tokenizer") / "receipt.json"
    counts = {name: value for name, value in receipt.counts.items() if name != "trained"}
    path.write_text(receipt.model_copy(update={"counts": counts}).model_dump_json())
    assert TokenizerStage(corpus.config).made_key() == receipt.key


def test_too_large_a_vocabulary_is_an_error_or_shrinks(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"vocab_size": 50_000})
    with pytest.raises(UserError, match=r"vocab_size=50000 is more than the train texts give"):
        run(corpus)
    settings = {"tokenizer": {"vocab_size": 50_000, "shrink": True}}
    smaller = corpus_of(tmp_path / "b", monkeypatch, **settings)
    assert 300 < run(smaller).manifest.tokenizer.vocab_size < 2000


def test_where_ids_differ_the_whole_store_is_made_by_the_reference(tmp_path, monkeypatch, given):
    settings = {"tokenizer": {"path": str(given["tokenizer.json"])}}
    expected_store = run(corpus_of(tmp_path / "right", monkeypatch, **settings))
    corpus = corpus_of(tmp_path / "wrong", monkeypatch, **settings)
    split_all(corpus)
    run_stage(TokenizerStage(corpus.config))
    made = TokenizerStage(corpus.config).made()
    encoder = _encoder(made, False).encoder
    original = encoder.encode

    def wrong_for_one_part(texts):
        tokens = original(texts)
        if any(text.startswith(" Report 50.") for text in texts):
            ids = tokens.ids.copy()
            ids[-40:] += 1
            return type(tokens)(ids, tokens.lengths)
        return tokens

    monkeypatch.setattr(encoder, "encode", wrong_for_one_part)
    with pytest.raises(RunError, match="run the same command again; the whole store is then made"):
        run_stage(Tokenise(corpus.config))
    assert (tmp_path / "wrong/work/tokenise" / REFERENCE_ONLY).is_file()
    store = run(corpus)
    assert [r.counts["encoder"] for r in Tokenise(corpus.config).receipts()] == ["tokenizers"] * 3
    (receipt,) = Store(corpus.config).receipts()
    assert receipt.counts["encoders"] == ["tokenizers"]
    assert receipt.counts["why_not_faster"] == ["the ids of a faster one differed on a document"]
    assert store.hash == expected_store.hash
    assert issubclass(EncodersDiffer, RunError)


def test_a_missing_or_unusable_tokenizer_is_a_user_error(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch, tokenizer={"path": "/nowhere/t.json"})
    with pytest.raises(UserError, match=r"cannot read tokenizer /nowhere/t\.json"):
        run(corpus)
