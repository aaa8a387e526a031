"""Typed config of a preparation, a file for each part of it."""

from data_prep.config.annotate import Annotate
from data_prep.config.clean import Clean
from data_prep.config.dedup import Dedup, Near, Overlap
from data_prep.config.execution import Execution, Slurm
from data_prep.config.input import FieldMap, Format, Limits, Source
from data_prep.config.prep import Prep
from data_prep.config.split import Balance, Splits
from data_prep.config.tokenizer import TokenizerChoice

__all__ = [
    "Annotate", "Balance", "Clean", "Dedup", "Execution", "FieldMap", "Format", "Limits", "Near",
    "Overlap", "Prep", "Slurm", "Source", "Splits", "TokenizerChoice",
]  # fmt: skip
