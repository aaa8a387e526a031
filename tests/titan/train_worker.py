"""A process that trains by torchtitan's Trainer on a store, with the loader of the page's lines.

    python train_worker.py STORE FOLDER OUTPUT STEPS

Of a GPU's are replaced here, and nothing else is: the device that it takes without one; the memory
that is counted on it; the timeouts of NCCL behind the first step; and flex attention's kernel,
which torch has no backward of on a CPU, by plain attention under the mask that torchtitan made.
"""

# ruff: noqa: E402 - torchtitan asks for its device where it is imported
import json
import os
import re
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # it compiles what makes the mask, for half a minute

import torch
import torch._utils

torch._utils._get_available_device_type = lambda: "cpu"
Memory = namedtuple("Memory", "max_reserved_gib max_reserved_pct num_alloc_retries num_ooms "
                    "max_active_gib max_active_pct")  # fmt: skip

import torchtitan.components.metrics as metrics
import torchtitan.models.llama3 as llama3
from torch.nn.attention.flex_attention import create_mask
from torchtitan.components.checkpointer import CheckpointManager
from torchtitan.components.loss import CrossEntropyLoss
from torchtitan.components.optimizer import LRSchedulersContainer, default_adamw
from torchtitan.components.tokenizer import HuggingFaceTokenizer
from torchtitan.config import ParallelismConfig, TrainingConfig
from torchtitan.distributed import utils
from torchtitan.models.common.attention import FlexAttention
from torchtitan.protocols.model_spec import ModelSpec
from torchtitan.trainer import Trainer

from tests.titan.shape import shape_of

PAGE = Path(__file__).parents[2] / "docs" / "other_trainers.md"
SEQ_LENGTH, BATCH = 128, 2


def attention(q, k, v, *, block_mask, scale, enable_gqa, **others):
    """Plain attention, q [b, h, s, d], under a mask that flex attention would take."""
    batch, _, length, _ = q.shape
    mask = create_mask(block_mask.mask_mod, batch, 1, length, length, device=q.device)
    found = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, scale=scale, enable_gqa=enable_gqa
    )
    return found, None


utils.set_pg_timeouts = lambda timeout, parallel_dims: None
FlexAttention.compiled_flex_attn = staticmethod(attention)
metrics.build_device_memory_monitor = lambda: SimpleNamespace(
    device_name="a CPU", get_peak_stats=lambda: Memory(0, 0, 0, 0, 0, 0), reset_peak_stats=int
)


def loader_of_the_page():
    """The class that docs/other_trainers.md shows."""
    (lines,) = re.findall(
        r"## torchtitan\n\n```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL
    )
    found = {"__name__": __name__}
    exec(lines, found)
    return found["StoreLoader"]


def main(store, folder, output, steps):
    model = shape_of(Path(folder), SEQ_LENGTH)
    spec = ModelSpec(
        name="llama3", flavor="tiny", model=model, parallelize_fn=llama3.parallelize_llama,
        pipelining_fn=None, post_optimizer_build_fn=None,
        state_dict_adapter=llama3.Llama3StateDictAdapter,
    )  # fmt: skip
    config = Trainer.Config(
        model_spec=spec,
        hf_assets_path=folder,
        dump_folder=output,
        tokenizer=HuggingFaceTokenizer.Config(),
        loss=CrossEntropyLoss.Config(global_vocab_size=model.vocab_size),
        optimizer=default_adamw(lr=1e-3),
        lr_scheduler=LRSchedulersContainer.Config(warmup_steps=1),
        training=TrainingConfig(
            local_batch_size=BATCH, seq_len=SEQ_LENGTH, steps=4, disable_cuda_graphs=True,
            mixed_precision_param="float32",
        ),
        parallelism=ParallelismConfig(),
        dataloader=loader_of_the_page().Config(dataset_path=store),
        metrics=metrics.MetricsProcessor.Config(log_freq=1),
        checkpoint=CheckpointManager.Config(
            enable=True, interval=2, initial_load_path=folder, initial_load_in_hf=True,
            last_save_model_only=False,
        ),
        activation_checkpoint=None,
    )  # fmt: skip
    trainer = Trainer(config)
    trainer.config.training.steps = int(steps)
    seen, losses, log = [], [], trainer.metrics_processor.log
    fetch = trainer.batch_generator

    def noted(batches):
        for inputs, labels in fetch(batches):
            for row in zip(inputs["input"], inputs["positions"], labels, strict=True):
                seen.append([each.tolist() for each in row])
            yield inputs, labels

    def told(step, loss, *others, **more):
        losses.append([step, loss])
        return log(step, loss, *others, **more)

    trainer.batch_generator, trainer.metrics_processor.log = noted, told
    trainer.train()
    trainer.close()
    Path(output, f"seen.{steps}.json").write_text(json.dumps([losses, seen]))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
