"""What watches a run on every rank; each callback owns its state."""

from geo_nemo.train.callbacks.health import Heartbeat, Watch
from geo_nemo.train.callbacks.metrics import Metrics, digest
from geo_nemo.train.callbacks.progress import ProgressBar
from geo_nemo.train.callbacks.sinks import make_sinks

__all__ = ["Heartbeat", "Metrics", "ProgressBar", "Watch", "digest", "make_sinks"]
