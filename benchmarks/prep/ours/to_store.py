"""A whole preparation: CONFIG, as JSON."""

import sys

from benchmarks.prep.contender import say
from data_prep.config import Prep
from data_prep.graph import run_prep


def main() -> None:
    say(stages=run_prep(Prep.model_validate_json(sys.argv[1])))


if __name__ == "__main__":
    main()
