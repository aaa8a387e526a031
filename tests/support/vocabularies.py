"""Tokenizers of every kind, made on the spot."""

from pathlib import Path

from geo_nemo.metadata.tokenizer import load_tokenizer
from tests.unit.data_prep.store_tools import worlds

KINDS = (*worlds.KINDS, "dummy_prefix")


def make_tokenizers(folder: Path) -> dict:
    """A tokenizer of each of KINDS, in folders of their own."""
    made = {}
    for kind in KINDS:
        (folder / kind).mkdir()
        made[kind] = load_tokenizer(worlds.write_tokenizer(folder / kind, kind))
    return made
