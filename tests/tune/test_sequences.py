"""TRL's trainer on a store's packed sequences: the loss of a step is that of the sequences."""

import pytest

pytest.importorskip("trl", reason="make test-tune installs it")
pytest.importorskip("peft", reason="make test-tune installs it")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from geo_nemo.config import MetadataPolicy
from geo_nemo.integrations.store_sequences import (
    IGNORED,
    as_hugging_face,
    example,
    sequences_of_store,
)


def test_trl_trains_on_the_sequences(base, tiny_store, tmp_path):
    from trl import SFTConfig, SFTTrainer

    sequences = sequences_of_store(str(tiny_store), MetadataPolicy(cut="whole"), 128, seed=1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    total, count = 0.0, 0
    with torch.no_grad():  # document by document, the first two sequences
        for made in map(example, (sequences[0], sequences[1])):
            ids = torch.tensor(made["input_ids"]).split(made["seq_lengths"])
            labels = torch.tensor(made["labels"]).split(made["seq_lengths"])
            for tokens, targets in zip(ids, labels, strict=True):
                logits = model(tokens[None]).logits[0, :-1]
                total += torch.nn.functional.cross_entropy(
                    logits, targets[1:], ignore_index=IGNORED, reduction="sum"
                )
                count += int((targets[1:] != IGNORED).sum())
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2, logging_steps=1,
            gradient_accumulation_steps=1, padding_free=True, max_length=None, use_cpu=True,
            dataset_kwargs={"skip_prepare_dataset": True}, report_to=[], save_strategy="no",
            bf16=False,
        ),
        train_dataset=as_hugging_face(sequences),
        processing_class=AutoTokenizer.from_pretrained(base),
    )  # fmt: skip
    trainer.train()
    (loss,) = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert loss == pytest.approx(float(total) / count, rel=1e-4)
