"""Loggers: where numbers go beside `metrics.jsonl`. A logger is a class and a name.

Each is optional, imported when it is asked for, and one class a file. `registry.KNOWN` names those
of this package; others come by entry points of `geo_nemo.loggers`, or as `module:attribute`.
"""

from geo_nemo.train.callbacks.loggers.background import Background
from geo_nemo.train.callbacks.loggers.hub import Loggers
from geo_nemo.train.callbacks.loggers.logger import Logger, Outcome, Told
from geo_nemo.train.callbacks.loggers.registry import make_loggers
from geo_nemo.train.callbacks.loggers.values import of_validation, scalars

__all__ = [
    "Background",
    "Logger",
    "Loggers",
    "Outcome",
    "Told",
    "make_loggers",
    "of_validation",
    "scalars",
]
