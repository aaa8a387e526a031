"""Every file of tests is one that pytest finds: a folder's name once kept a whole one out."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_file_of_tests_is_found():
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert listed.returncode == 0, listed.stdout[-2000:]
    found = {line.rpartition(":")[0].partition("::")[0] for line in listed.stdout.splitlines()}
    # Those of make test-lm-eval and test-tune, whose packages no other target installs, are skipped
    # as files.
    tuned = ("test_command.py", "test_rows.py", "test_training.py")
    found |= {"tests/lm_eval/test_harness.py", *(f"tests/tune/{name}" for name in tuned)}
    files = {str(path.relative_to(TESTS.parent)) for path in TESTS.rglob("test_*.py")}
    assert len(files) > 150
    assert files - found == set()
