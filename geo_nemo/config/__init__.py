"""Typed, frozen config and its loading. Imports nothing of the project, torch or Megatron."""

from geo_nemo.config.errors import RunError, UserError
from geo_nemo.config.schema import (
    Checkpoint,
    Data,
    Logging,
    MetadataPolicy,
    Model,
    Parallel,
    Precision,
    Run,
    Stage,
    Train,
)

__all__ = [
    "Checkpoint",
    "Data",
    "Logging",
    "MetadataPolicy",
    "Model",
    "Parallel",
    "Precision",
    "Run",
    "RunError",
    "Stage",
    "Train",
    "UserError",
]
