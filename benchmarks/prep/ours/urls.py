"""URL to normalised URL, registrable domain and country: FILE of URLs."""

import sys
import time
from pathlib import Path

from benchmarks.prep.contender import say
from data_prep.annotate.origin import OriginRules
from data_prep.annotate.outlets import load_outlets
from data_prep.annotate.urls import parse_url
from data_prep.quarantine import Rejected


def main() -> None:
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    rules = OriginRules(load_outlets(None))
    decided = 0
    started = time.process_time()
    for line in lines:
        try:
            rules.origin(None, None, parse_url(line).host)
            decided += 1
        except Rejected:
            pass
    say(seconds=time.process_time() - started, decided=decided)


if __name__ == "__main__":
    main()
