"""`geo-nemo` in processes of a CPU that accelerate takes for those of GPUs, which alone it shards.

    torchrun --nproc-per-node 2 -m tests.tune.sharded_worker tune ... shard=true

What accelerate asks of the machine is answered; groups, sharding, gathering and saving are real.
"""

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from geo_nemo.cli.main import main
from geo_nemo.tune import train


def _backend(self, *_, **__):
    return "gloo", DistributedType.MULTI_GPU


def _set_device(self):
    self.device = torch.device("cpu")


if __name__ == "__main__":
    PartialState._prepare_backend = _backend
    PartialState.set_device = _set_device
    train.is_on_cpu = lambda config: False
    main()
