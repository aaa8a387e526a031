"""Every file of tests is one that pytest finds: a folder's name once kept a whole one out."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
# Those of make test-lm-eval, test-titan, test-tune, test-try and test-vllm, and one each of
# test-slurm and test-gpu, whose packages no other target installs, are skipped as files.
ELSEWHERE = {
    *(f"lm_eval/test_{name}.py" for name in ("atlas", "harness")),
    *(f"tune/test_{name}.py" for name in ("command", "job", "sequences", "sharded", "training")),
    "gpu/test_tune.py",
    "slurm/test_tuning.py",
    *(f"titan/test_{name}.py" for name in ("torchtitan", "training")),
    "try_page/test_page.py",
    "vllm/test_serving.py",
}


def collected(request):
    """Files of this session's tests, where it is of all; otherwise of a session of its own."""
    config = request.config
    given = [Path(arg).resolve() for arg in config.args]
    if given == [TESTS] and not (config.option.keyword or config.option.markexpr):
        return {item.path for item in request.session.items}
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert listed.returncode == 0, listed.stdout[-2000:]
    names = {line.rpartition(":")[0].partition("::")[0] for line in listed.stdout.splitlines()}
    return {TESTS.parent / name for name in names}


def test_every_file_of_tests_is_found(request):
    found = {str(path.relative_to(TESTS)) for path in collected(request) if path.suffix == ".py"}
    files = {str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")}
    assert len(files) > 150
    assert files - found - ELSEWHERE == set()
