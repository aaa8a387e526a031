"""What an evaluation reads is what was written: cells that are finished are known by its record."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_prep.config import Prep
from data_prep.graph import run_prep
from eval.analyses.study import read
from eval.corpus import open_corpus
from eval.report.inputs import read_evaluation
from eval.runner import evaluate
from eval.texts import open_store
from geo_nemo.config import UserError
from tests.unit.data_prep.worlds import records, write_jsonl


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    path = write_jsonl(folder / "in.jsonl", records(9))
    run_prep(
        Prep.model_validate(
            {"input": [{"path": str(path)}], "output": str(folder / "out"),
             "execution": {"workers": 1}, "tokenizer": {"vocab_size": 400, "shrink": True},
             "splits": {"train": 0.5, "validation": 0, "test": 0.5}}
        )
    )  # fmt: skip
    return folder / "out"


def test_a_corpus_with_another_country_by_hand_is_refused(prepared, tmp_path):
    corpus = shutil.copytree(prepared / "corpus", tmp_path / "corpus")
    open_corpus(corpus, "test")
    (file,) = corpus.glob("test-*.parquet")
    table = pq.read_table(file)
    countries = table["country"].to_pylist()
    place = table.column_names.index("country")
    changed = table.set_column(place, "country", [countries[::-1]])
    pq.write_table(changed, file)
    with pytest.raises(UserError, match=f"{file.name} was changed since geo-nemo prep wrote it"):
        open_corpus(corpus, "test")
    open_corpus(corpus, "train")
    assert open_corpus(file, "test").items.num_documents == len(table)
    file.unlink()
    with pytest.raises(UserError, match=f"cannot read .*{file.name}: No such file"):
        open_corpus(corpus, "test")
    (corpus / "corpus.json").write_text(json.dumps({"format": "parquet", "files": ["x"]}))
    with pytest.raises(UserError, match=r"corpus\.json is damaged: repeat geo-nemo prep run"):
        open_corpus(corpus, "test")


@pytest.mark.parametrize("name", ["country.bin", "body.bin", "host.bin"])
def test_a_store_whose_column_was_changed_is_refused(prepared, tmp_path, name):
    store = shutil.copytree(prepared / "store", tmp_path / "store")
    open_store(str(store), "test", None)
    path = next(store.glob(f"test/**/{name}"))
    values = np.fromfile(path, np.uint8)
    values[0] ^= 1
    values.tofile(path)
    with pytest.raises(UserError, match=name) as caught:
        open_store(str(store), "test", None)
    assert "\n" not in str(caught.value) and "repeat geo-nemo prep run" in str(caught.value)
    # The other split is whole.
    open_store(str(store), "train", None)


def test_a_result_that_was_changed_by_hand_is_told(config, loader, tmp_path):
    evaluate(config, loader)
    folder = shutil.copytree(config.output, tmp_path / "copy")
    read(folder)
    record = json.loads((folder / "eval.json").read_text())
    record["perplexity"]["cells"][0]["perplexity"] -= 1e-3
    (folder / "eval.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="was changed since it was written: run the same geo-nemo"):
        read_evaluation(folder)
    shutil.copy(f"{config.output}/eval.json", folder)
    arrays = dict(np.load(folder / "documents.npz"))
    arrays["body"][0, 0] += 1e-6
    np.savez(folder / "documents.npz", **arrays)
    with pytest.raises(UserError, match=r"documents\.npz was changed since it was written"):
        read(folder)
    # The same evaluation again scores nothing anew, and mends it.
    copied = config.model_copy(update={"output": str(folder)})
    evaluate(copied, lambda model: pytest.fail("a model was loaded"))
    read(folder)
