"""The settings of a run that takes seconds, as the command line would give them."""

from pathlib import Path

STEPS = 8


def small_run(store: Path, output: Path, *more: str) -> list[str]:
    """Settings of two stages of four steps on `store`."""
    return [
        "experiment=demo",
        f"data.store={store}",
        f"output_dir={output}",
        "device=cpu",
        "seed=7",
        "model.num_layers=2",
        "model.hidden_size=64",
        "model.num_attention_heads=4",
        "model.num_query_groups=2",
        "model.ffn_hidden_size=96",
        "model.init_method_std=0.05",
        "data.seq_length=128",
        "data.packing_window=64",
        "stages.condition.fraction=0.5",
        "stages.cooldown.fraction=0.5",
        f"train.steps={STEPS}",
        "train.global_batch_size=8",
        "train.micro_batch_size=2",
        "train.warmup_steps=2",
        "checkpoint.every_steps=4",
        "logging.every_steps=1",
        *more,
    ]
