"""Ingest, or deduplication of what was ingested: ingest|dedup CONFIG [CLUSTERS].

CLUSTERS receives int64 [documents]: the number of the first document of each one's cluster.
"""

import sys

import numpy as np

from benchmarks.prep.contender import say
from data_prep.config import Prep
from data_prep.dedup import decisions, dedup_stages
from data_prep.engine import run_stage
from data_prep.ingest import Ingest, all_parts


def main() -> None:
    step, given, *out = sys.argv[1:]
    config = Prep.model_validate_json(given)
    if step == "ingest":
        say(read=sum(receipt.counts["read"] for receipt in run_stage(Ingest(config))))
        return
    for stage in dedup_stages():
        run_stage(stage(config))
    leaders = np.concatenate([decisions(config, part).leader for part in all_parts(config)])
    np.save(out[0], leaders)
    say(documents=len(leaders))


if __name__ == "__main__":
    main()
