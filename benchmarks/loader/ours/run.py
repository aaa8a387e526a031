"""The run that the measured sequences are of."""

from geo_nemo.config import Data, MetadataPolicy, Model, Run, Stage, Train

SEQ_LENGTH, BATCH_SEQUENCES, MICRO_BATCH = 2048, 64, 4
STAGE = "all"


def run_of(store: str, output: str, tokens: int) -> Run:
    """One stage over about `tokens`: host, country and continent before each fragment."""
    steps = max(1, tokens // (SEQ_LENGTH * BATCH_SEQUENCES))
    return Run(
        name="loader", output_dir=output, device="cpu",
        model=Model(
            num_layers=1, hidden_size=8, num_attention_heads=1, num_query_groups=1,
            ffn_hidden_size=8,
        ),
        data=Data(store=store, seq_length=SEQ_LENGTH, packing="best_fit", prefix_fragments=True),
        stages={STAGE: Stage(fraction=1, metadata=MetadataPolicy())},
        train=Train(steps=steps, global_batch_size=BATCH_SEQUENCES, warmup_steps=0),
    )  # fmt: skip
