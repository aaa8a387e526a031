"""Runs under torchrun with two GPUs: sequences divided between them, against the oracle.

torchrun --nproc-per-node 2 -m tests.gpu.context_worker OUTPUT
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

from geo_nemo.config import Parallel
from geo_nemo.runtime.device import resolve_device
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank
from tests.gpu import models
from tests.oracle.llama import batch_loss_and_gradients

CONTEXT = Parallel(context=2, distributed_optimizer=False)
BATCHES = {
    "ragged": {"seed": 1, "fractions": (0.02, 0.9, 0.4, 0.25)},
    "a micro-batch wholly masked": {"seed": 2, "fractions": (0.0, 0.9, 0.3)},
}


def main():
    device = resolve_device("gpu")
    told = {}
    with world(device), model_parallel(CONTEXT, seed=0):
        for dtype in ("fp32", "bf16"):
            made = models.engine(device, dtype, CONTEXT)
            weights = models.weights_of(made)
            for name, settings in BATCHES.items():
                batches = models.batches(**settings)
                loss, gradients, _ = batch_loss_and_gradients(weights, models.MODEL, batches)
                made.zero_gradients()
                sums, counts, _ = made._reduce(made.forward_backward(batches))
                seen = models.gradients_of(made)
                told[f"{dtype}, {name}"] = {
                    "count": float(counts.sum()) - sum(float(b.loss_mask.sum()) for b in batches),
                    "loss": abs(float(sums.sum() / counts.sum()) - loss),
                    "gradient": max(
                        float((seen[key] - value).norm() / value.norm())
                        for key, value in gradients.items()
                    ),
                }
    (Path(sys.argv[1]) / f"context-{rank()}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
