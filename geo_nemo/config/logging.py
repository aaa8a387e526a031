"""What a run tells while it goes on, and to whom."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geo_nemo.config.secret import Address, Options
from geo_nemo.config.section import NonNegative, PluginName, Positive, Section


class Profile(Section):
    """A window of steps that torch's profiler watches, into `<output_dir>/profile`.

    start_step: the first of them, counted from 0. ranks: of which each writes a Chrome trace, with
    the ranges data, forward, backward, gradient sync and optimizer, and a table of operators.
    """

    start_step: NonNegative
    steps: Positive = 3
    ranks: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = (0,)


class Logging(Section):
    """Where metrics go. `metrics.jsonl` in the output folder is always written.

    every_steps: a line each so many steps.
    batch_digest: a checksum of the batches in each line.
    loggers: further ones by name: tensorboard, wandb, mlflow, prometheus, those of entry points of
        the group `geo_nemo.loggers`, or `module:attribute`. The settings below turn theirs on, too.
    options: keyword arguments of loggers, by their names.
    names: what metrics are called there: our own names, those of NeMo 2, or Megatron's.
    tensorboard: event files in `<output_dir>/tensorboard`.
    wandb_project, wandb_entity: Weights & Biases; its key comes from its login or WANDB_API_KEY.
    mlflow_uri, mlflow_experiment: an MLflow tracking server, or a database (sqlite:///...).
    prometheus_port: rank 0 serves metrics on it.
    prometheus_textfile: a file for node_exporter's textfile collector, renewed at each line.
    peak_tflops: dense peak of one device, for MFU, where the chip is not a known one.
    profile: steps that are profiled; null: none.
    """

    every_steps: Positive = 10
    batch_digest: bool = False
    loggers: tuple[PluginName, ...] = ()
    options: Options = Field(default_factory=dict)
    names: Literal["own", "nemo", "megatron"] = "own"
    tensorboard: bool = False
    wandb_project: str | None = None
    wandb_entity: str | None = None
    mlflow_uri: Address | None = None
    mlflow_experiment: str | None = None
    prometheus_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    prometheus_textfile: str | None = None
    peak_tflops: Annotated[float, Field(gt=0)] | None = None
    profile: Profile | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of the loggers, each once."""
        switched = {
            "tensorboard": self.tensorboard,
            "wandb": self.wandb_project,
            "mlflow": self.mlflow_uri,
            "prometheus": self.prometheus_port or self.prometheus_textfile,
        }
        return tuple(dict.fromkeys([*(n for n, on in switched.items() if on), *self.loggers]))

    @model_validator(mode="after")
    def _complete(self):
        wanted = self.wanted
        if self.wandb_entity and "wandb" not in wanted:
            raise ValueError("wandb_entity needs wandb_project")
        if self.mlflow_experiment and "mlflow" not in wanted:
            raise ValueError("mlflow_experiment needs mlflow_uri")
        if self.prometheus_textfile and not self.prometheus_textfile.endswith(".prom"):
            raise ValueError("prometheus_textfile must end in .prom: node_exporter reads no other")
        if "prometheus" in wanted and not (self.prometheus_port or self.prometheus_textfile):
            raise ValueError("loggers has prometheus: give prometheus_port or prometheus_textfile")
        if unused := [name for name in self.options if name not in wanted]:
            raise ValueError(f"options of {unused[0]}, which is not one of loggers")
        return self
