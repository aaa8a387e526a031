"""Tokenizers that the tests of store tools share."""

import pytest

from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data_prep.store_tools.worlds import KINDS, write_tokenizer


@pytest.fixture(scope="session")
def tokenizer_paths(tmp_path_factory):
    """Path of a tokenizer of each kind."""
    return {kind: write_tokenizer(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="session")
def tokenizers(tokenizer_paths):
    return {kind: load_tokenizer(path) for kind, path in tokenizer_paths.items()}
