"""Groups of one process are one group, and a layout's end with it: gloo keeps few threads."""

import json
import os
import subprocess
import sys

import pytest

from tests.dist.launch import launch

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


def test_of_two_processes_each_has_one_group_of_its_own_and_several_of_both(tmp_path):
    launch(2, "tests.dist.groups_worker", tmp_path)
    assert len(list(tmp_path.glob("all_of_it_*"))) == 2
