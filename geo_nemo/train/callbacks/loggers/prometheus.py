"""Prometheus: gauges `geo_nemo_<name>{run="..."}`, served on a port, written to a file, or both."""

import re
from collections.abc import Mapping
from typing import Any

from geo_nemo.train.callbacks.loggers.logger import Outcome, Told


class Prometheus:
    """What stands behind a `/` in a name is the label `of`. A gauge has the newest value only."""

    def __init__(self, told: Told):
        import prometheus_client

        self._client = prometheus_client
        self._registry = prometheus_client.CollectorRegistry()
        self._gauges: dict[tuple[str, bool], Any] = {}
        self._run = told.name
        self._port = told.logging.prometheus_port
        self._textfile = told.logging.prometheus_textfile
        self._server: Any = None

    def on_start(self, step: int) -> None:
        if self._port and self._server is None:
            self._server, _ = self._client.start_http_server(self._port, registry=self._registry)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in {"step": step, **values}.items():
            name, _, label = key.partition("/")
            self._gauge(name, bool(label)).labels(self._run, *filter(None, [label])).set(value)
        if self._textfile:
            self._client.write_to_textfile(self._textfile, self._registry)

    def close(self, outcome: Outcome) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _gauge(self, name: str, labelled: bool) -> Any:
        if (name, labelled) not in self._gauges:
            labels = ("run", "of") if labelled else ("run",)
            plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
            # One name has the same labels everywhere.
            plain += "_by" * ((name, not labelled) in self._gauges)
            self._gauges[name, labelled] = self._client.Gauge(
                f"geo_nemo_{plain}", f"{name} of a training step", labels, registry=self._registry
            )
        return self._gauges[name, labelled]
