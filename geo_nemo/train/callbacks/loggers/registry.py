"""Loggers by name: those of this package, of others by entry points, and `module:attribute`."""

from pathlib import Path
from typing import Any, NamedTuple

from geo_nemo.config import Logging, UserError
from geo_nemo.config.plugins import Kind, reason
from geo_nemo.train.callbacks.loggers.background import Background
from geo_nemo.train.callbacks.loggers.history import History
from geo_nemo.train.callbacks.loggers.logger import Logger, Told
from geo_nemo.train.callbacks.loggers.reasons import missing

_HERE = "geo_nemo.train.callbacks.loggers"


class Known(NamedTuple):
    """target: `module:attribute`. setting: what turns it on, for messages."""

    target: str
    setting: str


KNOWN = {
    "tensorboard": Known(f"{_HERE}.tensorboard:TensorBoard", "logging.tensorboard"),
    "wandb": Known(f"{_HERE}.wandb:WandB", "logging.wandb_project"),
    "mlflow": Known(f"{_HERE}.mlflow:MLflow", "logging.mlflow_uri"),
    "prometheus": Known(f"{_HERE}.prometheus:Prometheus", "logging.prometheus_*"),
}
LOGGERS = Kind(
    "logger",
    "geo_nemo.loggers",
    {name: known.target for name, known in KNOWN.items()},
    methods=("on_start", "write", "close"),
)


def make_loggers(
    logging: Logging, output: Path, name: str, config: dict[str, Any]
) -> list[Background]:
    """The loggers that `logging` asks for, not yet open; `config` has no passwords.

    Raises `UserError` where there is none of a name, its package is missing, or it refuses.
    """
    told = Told(name, output, logging, config)
    history = History(output, logging.names)
    made = ((each, _made(each, told, logging.options.get(each, {}))) for each in logging.wanted)
    return [Background(_setting(name), logger, history) for name, logger in made]


def check_loggers(logging: Logging) -> None:
    """Raise `UserError` where a logger that `logging` asks for is none, or does not import."""
    for name in logging.wanted:
        try:
            LOGGERS.load(name, "logging.loggers")
        except ImportError as error:
            raise UserError(missing(_setting(name), error)) from None


def _setting(name: str) -> str:
    """How a message names a logger."""
    return KNOWN[name].setting if name in KNOWN else f"logging.loggers: {name}"


def _made(name: str, told: Told, options: dict[str, Any]) -> Logger:
    setting = _setting(name)
    try:
        made = LOGGERS.load(name, "logging.loggers")(told, **options)
        LOGGERS.check_made(made, setting)
        return made
    except (UserError, KeyboardInterrupt):
        raise
    except ImportError as error:
        raise UserError(missing(setting, error)) from None
    except BaseException as error:  # each library has its own
        raise UserError(f"{setting}: {reason(error)}; mend that or take it out") from None
