"""Groups of one process are one group, and a layout's end with it: gloo keeps few threads."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

ALONE = """
import json, os, torch
import torch.distributed as dist
from megatron.core import parallel_state as state
from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, process_groups, world

CPU = torch.device("cpu")
threads, whole = [], lambda: len(os.listdir("/proc/self/task"))

def exchanged(group):
    numbers = torch.tensor([3.0, 4.0])
    dist.all_reduce(numbers, group=group)
    return numbers.tolist()

with world(CPU):
    for _ in range(3):
        with model_parallel(Parallel(), seed=0):
            groups = state.get_data_parallel_group(), state.get_tensor_model_parallel_group()
            told = [exchanged(group) for group in groups]
            threads.append(whole())
with process_groups(Parallel(), CPU, seed=0):  # another world, in which the groups above are none
    told.append(exchanged(state.get_data_parallel_group()))
    threads.append(whole())
print(json.dumps({"threads": threads, "same": groups[0] is groups[1], "told": told}))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads by /proc")
def test_one_process_has_few_threads_however_often_its_layout_is_made_anew():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"]
    assert found["told"] == [[3.0, 4.0]] * 3
    # Twenty groups of one layout would have sixty, and three layouts three times as many.
    assert max(found["threads"]) < 15


PAIR = """
import sys, torch
import torch.distributed as dist
from megatron.core import parallel_state as state
from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, world

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
print("all of it")
"""


def test_of_two_processes_each_has_one_group_of_its_own_and_several_of_both(tmp_path):
    (tmp_path / "pair.py").write_text(PAIR)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(tmp_path / "pair.py")], capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore",
             "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("all of it") == 2
