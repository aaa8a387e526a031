"""One stage of a preparation and the peak of its memory: NAME CONFIG; `names` lists them."""

import re
import sys
from pathlib import Path

from benchmarks.prep.contender import say
from data_prep.config import Prep
from data_prep.engine import run_stage
from data_prep.graph import stages


def main() -> None:
    name, given = sys.argv[1:]
    found = stages(Prep.model_validate_json(given))
    if name == "names":
        say(names=[stage.name for stage in found])
        return
    stage = next(stage for stage in found if stage.name == name)
    start = resident("VmRSS")
    run_stage(stage)
    say(peak=resident("VmHWM"), start=start)


def resident(field: str) -> int:
    """Bytes: VmRSS now, VmHWM at most since this program began.

    Not ru_maxrss, which begins with what the process that started this one had.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


if __name__ == "__main__":
    main()
