"""Commands in a process of their own that has the example package on its path."""

import os
import subprocess
import sys
from pathlib import Path

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
