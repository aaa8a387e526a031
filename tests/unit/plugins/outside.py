"""Commands in a process of their own that has the example package on its path."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.command import SMALL

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "tests" / "plugin"


def geo_nemo(*arguments, path=()):
    """Exit code, output and errors. path: further folders that Python imports from."""
    folders = [*map(str, path), str(PLUGIN), str(ROOT), os.environ.get("PYTHONPATH")]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "geo_nemo", *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def train(store, output, *settings):
    """The command in a process of its own, with the package on its path."""
    few = ("train.steps=12", "train.warmup_steps=2", "train.micro_batch_size=4")
    places = (f"data.store={store}", f"output_dir={output}", "logging.every_steps=1")
    code, _, errors = geo_nemo("train", *SMALL, *few, *places, *settings)
    return code, errors
