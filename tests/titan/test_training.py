"""torchtitan's own Trainer on a store's packed sequences, by docs/other_trainers.md's lines."""

import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

pytest.importorskip("torchtitan", reason="make test-titan")

from transformers import AutoModelForCausalLM

from geo_nemo.config import MetadataPolicy
from geo_nemo.integrations.store_sequences import IGNORED, sequences_of_store
from tests.support.exports import write_export

WORKER = Path(__file__).with_name("train_worker.py")
STEPS, BATCH, SEQ_LENGTH = 4, 2, 128


def train(store, folder, output, steps):
    """What the process saw: losses by step, and rows of (tokens, positions, labels)."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1",
        "--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
        str(WORKER), str(store), str(folder), str(output), str(steps),
    ]  # fmt: skip
    path = os.pathsep.join((str(WORKER.parents[2]), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((output / f"seen.{steps}.json").read_text())


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    made = write_export(tmp_path_factory.mktemp("titan") / "llama", tiny_store)
    (made / "chat_template.jinja").unlink()  # its tokenizer does not know the tag `generation`
    return made


@pytest.fixture(scope="module")
def rows(tiny_store):
    """Ours: (tokens, positions, labels) of the first sequences, IGNORED outside the loss."""
    policy = MetadataPolicy(fields=("url", "country"), cut="whole")
    sequences = sequences_of_store(str(tiny_store), policy, SEQ_LENGTH, seed=1)
    made = [sequences[n] for n in range(STEPS * BATCH)]
    assert any((each.loss_mask == 0).any() for each in made)
    return [
        [
            each.tokens.tolist(),
            each.position_ids.tolist(),
            [int(t) if m else IGNORED for t, m in zip(each.labels, each.loss_mask, strict=True)],
        ]
        for each in made
    ]


@torch.no_grad()
def loss_of(folder, rows):
    """Of transformers' model, document by document."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total, count = 0.0, 0
    for tokens, positions, labels in (map(torch.tensor, row) for row in rows):
        borders = [*(positions == 0).nonzero()[:, 0].tolist(), len(tokens)]
        for start, stop in pairwise(borders):
            logits = model(tokens[None, start:stop]).logits[0]
            targets = labels[start:stop]
            total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            count += int((targets != IGNORED).sum())
    return total / count


def test_it_trains_on_our_rows_and_goes_on_behind_them(tiny_store, folder, rows, tmp_path):
    losses, seen = train(tiny_store, folder, tmp_path / "run", STEPS)
    assert seen == rows
    assert [step for step, _ in losses] == [1, 2, 3, 4]
    assert losses[0][1] == pytest.approx(loss_of(folder, rows[:BATCH]), rel=1e-4)
    assert all(math.isfinite(loss) for _, loss in losses)
    # Stopped behind step 2, where its checkpoint has the state of the loader.
    train(tiny_store, folder, tmp_path / "again", 2)
    after, rest = train(tiny_store, folder, tmp_path / "again", STEPS)
    assert rest == seen[2 * BATCH :] and after == losses[2:]
