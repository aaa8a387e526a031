"""The pieces of `benchmarks gpu` on a CPU, at tiny shapes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu import figures, ours, plain
from benchmarks.gpu.cases import HUGGING_FACE, OURS, PLAIN, Case, flops, lengths, tokens
from benchmarks.gpu.timing import PARTS, Clock
from geo_nemo.common.errors import RunError

ROOT = Path(__file__).parents[3]
TINY = Case(
    "demo",
    64,
    "fp32",
    2,
    overrides=(
        "model.num_layers=2", "model.hidden_size=64", "model.num_attention_heads=4",
        "model.num_query_groups=2", "model.ffn_hidden_size=96",
    ),
    vocab_size=512,
    device="cpu",
    warm=1,
    steps=2,
)  # fmt: skip


def changed(**values) -> Case:
    from dataclasses import replace

    return replace(TINY, **values)


def test_a_case_survives_the_way_to_another_process():
    assert Case.from_json(TINY.to_json()) == TINY


@pytest.mark.parametrize("packed", [False, True])
def test_documents_fill_their_rows(packed):
    case = changed(length=4096, rows=3, packed=packed)
    sizes = lengths(case, 0)
    assert [int(row.sum()) for row in sizes] == [4096] * 3
    assert all((row > 0).all() for row in sizes)
    assert [len(row) > 1 for row in sizes] == [packed] * 3
    made = ours.batch(case, 0)
    borders = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    assert made.cu_seqlens.tolist() == borders.tolist()
    assert (made.position_ids.ravel()[borders[:-1]] == 0).all()
    assert made.max_seqlen == max(int(row.max()) for row in sizes)


def test_flops_of_a_step_by_hand():
    matrices = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96) + 512 * 64
    assert flops(TINY, 0) == 6 * matrices * 128 + 6 * 2 * 64 * 2 * 64**2


def test_the_clock_counts_each_part_once():
    clock = Clock(torch.device("cpu"))
    for part in (*PARTS, "forward", None):
        clock.begin(part)
    moments = [moment for _, moment in clock._moments]
    found = clock.take()
    assert sum(found.values()) == pytest.approx(moments[-1] - moments[0])
    assert clock.take() == dict.fromkeys(PARTS, 0.0)


def test_our_step_is_timed_and_learns_what_it_is_shown(single_process):
    said = ours.found(TINY)
    assert set(said["parts"]) == set(PARTS)
    assert len(said["losses"]) == 3
    assert all(abs(loss - np.log(512)) < 0.5 for loss in said["losses"])
    assert 0 < said["parts"]["optimizer"] < said["seconds"]


def test_the_plain_llama_is_hugging_faces():
    """Same weights: same loss and gradients, in fp32."""
    from benchmarks.gpu import hugging_face

    torch.manual_seed(0)
    mine = plain.Llama(TINY.run().model, TINY.vocab_size, TINY.length)
    theirs = hugging_face.make(TINY)
    copies = dict(theirs.llama.named_parameters())
    taken = set()

    def copy(name: str, weight: torch.Tensor) -> None:
        with torch.no_grad():
            copies[name].copy_(weight)
        taken.add(name)

    copy("model.embed_tokens.weight", mine.embedding.weight)
    copy("model.norm.weight", mine.norm.weight)
    copy("lm_head.weight", mine.head.weight)
    for number, layer in enumerate(mine.layers):
        at = f"model.layers.{number}"
        copy(f"{at}.input_layernorm.weight", layer.norms[0].weight)
        copy(f"{at}.post_attention_layernorm.weight", layer.norms[1].weight)
        for name, part in zip("qkv", layer.qkv.weight.split([64, 32, 32]), strict=True):
            copy(f"{at}.self_attn.{name}_proj.weight", part)
        copy(f"{at}.self_attn.o_proj.weight", layer.out.weight)
        for name, part in zip(("gate", "up"), layer.gate_up.weight.chunk(2), strict=True):
            copy(f"{at}.mlp.{name}_proj.weight", part)
        copy(f"{at}.mlp.down_proj.weight", layer.down.weight)
    assert taken == copies.keys()

    drawn = torch.from_numpy(tokens(TINY, 0))
    losses = [model(drawn) for model in (mine, theirs)]
    for loss in losses:
        loss.backward()
    # Sums of some hundred products in fp32: 1e-7 of their size, a few roots of that many.
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    ours_, theirs_ = mine.embedding.weight.grad, copies["model.embed_tokens.weight"].grad
    assert float((ours_ - theirs_).norm() / theirs_.norm()) < 1e-4


def test_a_peers_step_is_timed_and_lowers_the_loss_of_the_same_tokens():
    said = plain.found(TINY, plain.Llama(TINY.run().model, 512, 64), compiled=False)
    assert set(said["parts"]) == set(PARTS)
    assert all(abs(loss - np.log(512)) < 0.5 for loss in said["losses"])


@pytest.mark.very_slow
def test_rows_take_the_best_of_the_sweep_and_tell_what_failed():
    def measure(contender: str, case: Case) -> dict:
        if case.rows == 4:
            raise RunError("out of memory")
        if contender == HUGGING_FACE:
            raise RunError("no transformers")
        seconds = {OURS: 1.0, PLAIN: 2.0}[contender] / (2 if case.precision != "bf16" else 1)
        parts = {"forward": 0.2, "backward": 0.4, "optimizer": 0.1}
        return {
            "seconds": seconds, "parts": parts, "losses": [], "peak_bytes": 2**30,
            "chip": "NVIDIA H100 80GB HBM3",
        }  # fmt: skip

    rows = list(figures.rows_of(("1b",), (2048,), (2048, 4096, 8192), measure))
    speeds = [row for row in rows if row.metric == "tokens_per_second"]
    assert [r.note for r in speeds if r.case == "1b, 4 x 2048, bf16"] == ["failed: out of memory"]
    best = [row for row in speeds if row.case == "1b, 2 x 2048, bf16"]
    assert [(row.peer, row.value, row.peer_value, row.ratio) for row in best] == [
        ("-", 4096, None, None),
        (PLAIN, 4096, 2048, 2),
        (HUGGING_FACE, 4096, None, None),
    ]
    beside = [row for row in speeds if row.peer == figures.CONTROL]
    assert [row.case.rpartition(", ")[2] for row in beside] == list(figures.PRECISIONS[1:])
    assert {row.ratio for row in beside} == {2}
    assert "1b, 2 x 2048, bf16, packed" in {row.case for row in speeds}
    (mfu,) = [r for r in rows if r.metric == "mfu" and r.case == "1b, 2 x 2048, bf16"]
    assert mfu.value == pytest.approx(flops(Case("1b", 2048, "bf16", 2), 0) / 989.4e12)
    (rest,) = [r for r in rows if r.metric == "rest_share" and r.case == "1b, 2 x 2048, bf16"]
    assert rest.value == pytest.approx(0.3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_ends_with_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "gpu"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("benchmarks: the benchmark gpu needs a GPU")
    assert done.stderr.count("\n") == 1
