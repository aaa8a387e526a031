"""Runs in two processes: makes three layouts of two processes and looks at their groups.

torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.groups_worker OUTPUT
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import parallel_state as state

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank


def main():
    with world(torch.device("cpu")):
        for parallel in (Parallel(tensor=2), Parallel(), Parallel(pipeline=2)):
            with model_parallel(parallel, seed=0):
                sizes = {
                    "tensor": state.get_tensor_model_parallel_group(),
                    "pipeline": state.get_pipeline_model_parallel_group(),
                    "data": state.get_data_parallel_group(),
                }
                shared = {id(group) for group in sizes.values() if group.size() == 1}
                several = {id(group) for group in sizes.values() if group.size() == 2}
                assert len(shared) == 1 and len(several) == 1
                for group in sizes.values():
                    numbers = torch.tensor([float(dist.get_rank() + 1)])
                    dist.all_reduce(numbers, group=group)
                    assert numbers.item() == (3 if group.size() == 2 else dist.get_rank() + 1)
                whole = state.get_model_parallel_group()
                if parallel.tensor == 2:  # two groups of both processes are two
                    assert whole.size() == 2 and whole is not sizes["tensor"]
            for group in sizes.values():
                assert group not in dist.distributed_c10d._world.pg_map
    (Path(sys.argv[1]) / f"all_of_it_{rank()}").touch()


if __name__ == "__main__":
    main()
