"""Runs in four processes: layouts of two or three dimensions at once.

torchrun --nproc-per-node 4 -m tests.dist.start tests.dist.four_worker STORE OUTPUT
"""

import json
import sys
from pathlib import Path

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import world
from geo_nemo.runtime.launcher import rank
from tests.dist.exact import CPU, Oracle, errors
from tests.dist.worker import train

LAYOUTS = {
    "tp2_pp2": {"tensor": 2, "pipeline": 2, "sequence_parallel": True},
    "tp2_cp2": {"tensor": 2, "context": 2, "sequence_parallel": True},
    "dp2_cp2": {"context": 2},
    "dp2_tp2": {"tensor": 2},
    "pp2_cp2": {"pipeline": 2, "context": 2},
    "pp2_vpp2_cp2": {"pipeline": 2, "virtual_pipeline": 2, "context": 2},
    "dp2_pp2_vpp2_overlap": {
        "pipeline": 2,
        "virtual_pipeline": 2,
        "overlap_grad_reduce": True,
        "overlap_param_gather": True,
    },
    "cp4": {"context": 4},
    "pp4": {"pipeline": 4},
}


def main():
    store, output = sys.argv[1], Path(sys.argv[2])
    with world(CPU):
        oracle = Oracle(Parallel(distributed_optimizer=False))
        found = {}
        for name, sizes in LAYOUTS.items():
            steps, _ = train(store, output / name, Parallel(**sizes))
            if rank() == 0:
                (output / f"{name}.json").write_text(json.dumps(steps))
            # Under the distributed optimizer a rank has the sum of its own part alone.
            without = {key: value for key, value in sizes.items() if "overlap" not in key}
            found[name] = errors(Parallel(**without, distributed_optimizer=False), oracle)
        (output / f"oracle-{rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
