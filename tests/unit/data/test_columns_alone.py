"""A store on `s3://` is planned from its columns alone where these tell every length."""

from pathlib import Path

import numpy as np
import pytest

from geo_nemo.config import Data, Stage
from geo_nemo.data.stage import open_store
from geo_nemo.data.text_lengths import TextLengths
from geo_nemo.metadata.compose import Composer
from geo_nemo.store import TokenStore
from geo_nemo.store.remote import push_store
from tests.support.older_stores import without_first_words
from tests.support.tiny import tiny_run
from tests.support.vocabularies import make_tokenizers
from tests.unit.store.test_first_words import MECO, TEXTS, write


@pytest.mark.parametrize("older", [False, True])
def test_a_plan_over_a_bucket_fetches_texts_only_where_first_words_are_not_known(
    tmp_path, bucket, older
):
    tokenizer = make_tokenizers(tmp_path, ("llama_3",))["llama_3"]
    (path,) = (tmp_path / "llama_3").glob("tokenizer.json")
    store = write(tmp_path / "s", (tokenizer, path), TEXTS)
    if older:
        store = without_first_words(store, tmp_path / "older")
    address = bucket.address("news")
    push_store(store.root, address)
    data = Data(store=address, seq_length=64, cache_dir=str(tmp_path / "cache"))
    stages = {"only": Stage(fraction=1, metadata=MECO)}
    run = tiny_run(Path(address), tmp_path / "run", data=data, stages=stages)
    opened = open_store(run, tokens=False)
    assert opened.root.name.endswith(".columns") != older
    found = [lengths_of(each) for each in (store, opened)]
    assert found[0].tolist() == found[1].tolist()


def lengths_of(store: TokenStore) -> np.ndarray:
    split = store.split("train")
    lengths = TextLengths(Composer(MECO, store.tokenizer()), split)
    return np.stack(lengths(np.arange(len(split)), np.ones(len(split), bool)))
