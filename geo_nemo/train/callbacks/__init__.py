"""What watches a run on every rank; each callback owns its state."""

from geo_nemo.train.callbacks.accounting import Accounting
from geo_nemo.train.callbacks.health import Heartbeat, Watch
from geo_nemo.train.callbacks.loggers import Loggers, make_loggers
from geo_nemo.train.callbacks.metrics import Metrics, digest
from geo_nemo.train.callbacks.profile import Profile
from geo_nemo.train.callbacks.progress import ProgressBar
from geo_nemo.train.callbacks.validation import Validate

__all__ = [
    "Accounting",
    "Heartbeat",
    "Loggers",
    "Metrics",
    "Profile",
    "ProgressBar",
    "Validate",
    "Watch",
    "digest",
    "make_loggers",
]
