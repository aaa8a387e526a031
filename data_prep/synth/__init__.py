"""A generator of synthetic geo-news with known truth, and the exact floors of its losses."""

from data_prep.synth.config import Synth
from data_prep.synth.corpus import document_floors, write_corpus
from data_prep.synth.likelihood import Floors
from data_prep.synth.pcfg import write_pcfg

__all__ = ["Floors", "Synth", "document_floors", "write_corpus", "write_pcfg"]
