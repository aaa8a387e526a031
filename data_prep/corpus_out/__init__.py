"""The annotated corpus as files of its own, and samples of what was dropped, for reading."""

from data_prep.corpus_out.drops import Drops
from data_prep.corpus_out.read import read_corpus
from data_prep.corpus_out.stage import CorpusStage

__all__ = ["CorpusStage", "Drops", "corpus_stages", "read_corpus"]


def corpus_stages() -> list[type]:
    """The stages of this package, in order."""
    return [CorpusStage, Drops]
