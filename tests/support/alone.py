"""Each file of tests in a process of its own, files and tests in random order: `make test-alone`.

What a file needs it must make itself. In one process a file before it may have made it: process
groups of Megatron-Core, a store, a module that is imported.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

# What pytest returns where every test of a file is for another target.
NO_TESTS = 5
SHOWN_LINES = 40


def files_of(given: list[str]) -> list[Path]:
    """The files of tests that are named, and those of the folders that are."""
    found: set[Path] = set()
    for name in given:
        path = Path(name)
        found.update(path.rglob("test_*.py") if path.is_dir() else [path])
    return sorted(found)


def passes(file: Path, seed: int) -> bool:
    """Run one file; where it fails, the end of what it printed is shown."""
    begin = time.monotonic()
    options = ["-p", "no:cacheprovider", f"--randomly-seed={seed}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    good = done.returncode in (0, NO_TESTS)
    print(f"{'ok' if good else 'FAILED'} {file} ({time.monotonic() - begin:.0f} s)", flush=True)
    if not good:
        print("\n".join(done.stdout.splitlines()[-SHOWN_LINES:]), flush=True)
    return good


def main() -> int:
    """0 where every file passes; the seed is told, for the same order again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", default=["tests"], help="files or folders of tests")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no file after so many"
    )
    asked = parser.parse_args()
    files = files_of(asked.files)
    random.Random(asked.seed).shuffle(files)
    print(f"seed {asked.seed}: {len(files)} files", flush=True)
    end = time.monotonic() + 60 * asked.minutes
    failed, done = [], 0
    for file in files:
        if time.monotonic() >= end:
            break
        done += 1
        if not passes(file, asked.seed):
            failed.append(file)
    left = f", {len(files) - done} not begun" if done < len(files) else ""
    print(f"{done - len(failed)} of {len(files)} files pass alone{left}")
    for file in failed:
        print(f"fails alone: {file}")
    return int(bool(failed))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
