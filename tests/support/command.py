"""The command line in this process, and settings of a training that takes seconds."""

import sys

import pytest

from geo_nemo.cli import main as cli

# Of a training: a small model, and nothing of its steps.
SMALL = (
    "experiment=demo",
    "model.num_layers=2",
    "model.hidden_size=64",
    "model.ffn_hidden_size=96",
    "data.seq_length=128",
    "train.global_batch_size=8",
)


def call(monkeypatch, capsys, *arguments, **environment):
    """Run `geo-nemo ARGUMENTS`: its exit code, what it printed, and to stderr."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["geo-nemo", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, *capsys.readouterr()
