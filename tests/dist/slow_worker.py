"""A rank of two, of which the second is slow: what rank 0 says of their times, as JSON."""

import json
import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist

from geo_nemo.train.callbacks.times import Times

if __name__ == "__main__":
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    times = Times(torch.device("cpu"))
    times.find_hosts()
    for _ in range(2):
        times.add(
            SimpleNamespace(
                seconds=4.0,
                data_seconds=1.0 + rank,
                checkpoint_seconds=0.0,
                report=SimpleNamespace(work_seconds=1.0 + 0.5 * rank),
            )
        )
    found = times.exchanged()
    if rank == 0:
        print(json.dumps(found), file=open(sys.argv[1], "w"))
    dist.destroy_process_group()
