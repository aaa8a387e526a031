"""Commands in a process of their own that has the example package on its path."""

import os
from pathlib import Path

from tests.support.command import SMALL
from tests.support.processes import Process

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "tests" / "plugin"


def geo_nemo(*arguments, path=()):
    """Exit code, output and errors. path: further folders that Python imports from."""
    folders = [*map(str, path), str(PLUGIN), str(ROOT), os.environ.get("PYTHONPATH")]
    started = Process(
        "geo_nemo", *arguments, PYTHONPATH=os.pathsep.join(filter(None, folders)), COLUMNS="200"
    )
    printed, errors = started.communicate(timeout=600)
    return started.returncode, printed, errors


def train(store, output, *settings):
    """The command in a process of its own, with the package on its path."""
    few = ("train.steps=12", "train.warmup_steps=2", "train.micro_batch_size=4")
    places = (f"data.store={store}", f"output_dir={output}", "logging.every_steps=1")
    code, _, errors = geo_nemo("train", *SMALL, *few, *places, *settings)
    return code, errors
