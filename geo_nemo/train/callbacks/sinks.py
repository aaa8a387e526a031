"""Where a line of metrics goes beside `metrics.jsonl`: TensorBoard, W&B, MLflow, Prometheus.

Each is optional and imported when it is asked for. One that fails while the run goes on is told
once and then left out: training does not end because a dashboard does.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from geo_nemo.config import Logging, UserError


class Sink(Protocol):
    """Takes the numbers of a logged step."""

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


def make_sinks(logging: Logging, output: Path, name: str, config: dict[str, Any]) -> list[Sink]:
    """The sinks that `logging` asks for. UserError where a package is missing or refuses."""
    makers: list[tuple[str, str, Callable[[], Sink]]] = []
    if logging.tensorboard:
        makers.append(("logging.tensorboard", "tensorboard", lambda: TensorBoard(output)))
    if logging.wandb_project:
        makers.append(
            ("logging.wandb_project", "wandb", lambda: WandB(logging, output, name, config))
        )
    if logging.mlflow_uri:
        makers.append(("logging.mlflow_uri", "mlflow", lambda: MLflow(logging, name, config)))
    if logging.prometheus_port or logging.prometheus_textfile:
        makers.append(
            ("logging.prometheus_*", "prometheus-client", lambda: Prometheus(logging, name))
        )
    return [_made(setting, package, maker) for setting, package, maker in makers]


def _made(setting: str, package: str, maker: Callable[[], Sink]) -> Sink:
    try:
        return Guarded(setting, maker())
    except ImportError as error:
        raise UserError(
            f"{setting} needs the package {package} ({error}): "
            "pip install -e '.[logging]' in the checkout"
        ) from None
    except UserError:
        raise
    except Exception as error:  # each library has its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{setting}: {reason}; mend that or take the setting out") from None


class Guarded:
    """A sink whose failure is told on stderr, once, and ends only the sink."""

    def __init__(self, setting: str, sink: Sink):
        self.setting = setting
        self.sink: Sink | None = sink

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._try(lambda sink: sink.write(step, values))

    def close(self) -> None:
        self._try(lambda sink: sink.close())

    def _try(self, action: Callable[[Sink], None]) -> None:
        if self.sink is None:
            return
        try:
            action(self.sink)
        except Exception as error:
            self.sink = None
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            print(
                f"geo-nemo: {self.setting} failed ({reason}); the run goes on without it",
                file=sys.stderr,
            )


class TensorBoard:
    """Event files in `<output>/tensorboard`."""

    def __init__(self, output: Path):
        import tensorboard  # noqa: F401  torch's writer tells less clearly that it is missing
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(output / "tensorboard"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of Weights & Biases; a resumed run goes on under the same id."""

    def __init__(self, logging: Logging, output: Path, name: str, config: dict[str, Any]):
        import wandb

        kept = output / "wandb_id.txt"
        if not kept.exists():
            kept.write_text(wandb.util.generate_id())
        self._run = wandb.init(
            project=logging.wandb_project,
            entity=logging.wandb_entity,
            name=name,
            id=kept.read_text().strip(),
            resume="allow",
            dir=str(output),
            config=config,
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run on an MLflow tracking server; a resumed run is a new one under the same name."""

    def __init__(self, logging: Logging, name: str, config: dict[str, Any]):
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(logging.mlflow_uri)
        if logging.mlflow_experiment:
            mlflow.set_experiment(logging.mlflow_experiment)
        mlflow.start_run(run_name=name)
        # MLflow takes at most 500 characters a parameter.
        mlflow.log_params({key: str(value)[:500] for key, value in flattened(config)})

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class Prometheus:
    """Gauges `geo_nemo_<name>{run="..."}`, served on a port or written to a file, or both."""

    def __init__(self, logging: Logging, name: str):
        import prometheus_client

        self._client = prometheus_client
        self._registry = prometheus_client.CollectorRegistry()
        self._gauges: dict[str, Any] = {}
        self._run = name
        self._textfile = logging.prometheus_textfile
        self._server = None
        if logging.prometheus_port:
            self._server, _ = prometheus_client.start_http_server(
                logging.prometheus_port, registry=self._registry
            )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in {"step": step, **values}.items():
            name, _, label = key.partition("/")
            self._gauge(name, bool(label)).labels(self._run, *filter(None, [label])).set(value)
        if self._textfile:
            self._client.write_to_textfile(self._textfile, self._registry)

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _gauge(self, name: str, labelled: bool) -> Any:
        if name not in self._gauges:
            labels = ("run", "of") if labelled else ("run",)
            self._gauges[name] = self._client.Gauge(
                f"geo_nemo_{name}", f"{name} of a training step", labels, registry=self._registry
            )
        return self._gauges[name]


def flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": {"b": 1}}` as `("a.b", 1)`."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line; those by country as `loss_by_country/gb`."""
    values: dict[str, float] = {}
    for key, value in line.items():
        if isinstance(value, Mapping):
            values |= {f"{key}/{name}": float(number) for name, number in value.items()}
        elif isinstance(value, int | float) and key != "step":
            values[key] = float(value)
    return values
