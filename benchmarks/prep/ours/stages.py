"""The stages of a preparation, one after another, and the peak of each one's memory: CONFIG.

Each stage runs in a fork of this process, which has loaded the common libraries and nothing else.
"""

import os
import re
import sys
import traceback
from pathlib import Path

import orjson

from benchmarks.prep.contender import say
from data_prep.config import Prep
from data_prep.engine import Stage, run_stage
from data_prep.graph import stages
from geo_nemo.common.errors import RunError


def main() -> None:
    config = Prep.model_validate_json(sys.argv[1])
    say(stages={stage.name: peak_of(stage) for stage in stages(config)})


def peak_of(stage: Stage) -> dict[str, int]:
    """peak: most resident bytes while the stage ran; start: those before. RunError if it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            start = resident("VmRSS")
            run_stage(stage)
            os.write(writing, orjson.dumps({"peak": resident("VmHWM"), "start": start}))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as found:
        said = found.read()
    if os.waitpid(child, 0)[1]:
        raise RunError(f"stage {stage.name} failed; its error stands above")
    return orjson.loads(said)


def resident(field: str) -> int:
    """Bytes: VmRSS now; VmHWM the most since this process was forked or began its program.

    Not ru_maxrss, which begins with what the process that started this one had.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


if __name__ == "__main__":
    main()
