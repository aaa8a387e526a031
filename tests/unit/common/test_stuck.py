"""A process ends although a request that it gave up goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys, threading
from geo_nemo.common.stuck import end_process, give_up
ended = threading.Event()
thread = threading.Thread(target=lambda: ended.wait(1000 if sys.argv[1] == "stuck" else 0.01))
thread.start()
give_up(thread.is_alive)
print("said")
if sys.argv[1] != "stuck":
    thread.join()
import atexit
atexit.register(print, "cleaned up")
end_process(3)
"""


@pytest.mark.parametrize(("kind", "said"), [("stuck", "said\n"), ("done", "said\ncleaned up\n")])
def test_a_process_waits_for_no_request_that_it_gave_up(kind, said):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, said, "")
