"""URL to country, by outlet table and domain: FILE of URLs."""

import sys
import time
from pathlib import Path

from benchmarks.prep.contender import say
from data_prep.annotate.origin import OriginRules
from data_prep.annotate.outlets import load_outlets


def main() -> None:
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    rules = OriginRules(load_outlets(None))
    started = time.process_time()
    found = rules.countries_of(lines)
    seconds = time.process_time() - started
    say(seconds=seconds, decided=len(lines) - found.count(None))


if __name__ == "__main__":
    main()
