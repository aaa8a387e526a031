"""Typed, frozen config and its loading. Imports nothing of the project, torch or Megatron."""

from geo_nemo.common.errors import RunError, UserError
from geo_nemo.config.average import Average
from geo_nemo.config.bad_steps import BadSteps
from geo_nemo.config.health import Health
from geo_nemo.config.init import Init
from geo_nemo.config.logging import Logging
from geo_nemo.config.notify import Notify
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.config.schema import (
    Checkpoint,
    Data,
    Model,
    Parallel,
    Precision,
    Run,
    Sampling,
    Select,
    Stage,
    Train,
)
from geo_nemo.config.validation import Validation

__all__ = [
    "Average",
    "BadSteps",
    "Checkpoint",
    "Data",
    "Health",
    "Init",
    "Logging",
    "MetadataPolicy",
    "Model",
    "Notify",
    "Parallel",
    "Precision",
    "Run",
    "RunError",
    "Sampling",
    "Select",
    "Stage",
    "Train",
    "UserError",
    "Validation",
]
