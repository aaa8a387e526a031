"""Exports of runs on a GPU: logits of Hugging Face's Llama there, beside those of the run itself.

A logit ends a path of 8 rounded sums a layer and 3 outside (tests/unit/train/test_init_weights.py).
In fp32, of at most 96 products each, logits are off by at most 5e-5 of their norm. In bf16 each of
the 19 rounds by at most 2^-9 of its size: by 0.04 of the norm together. It is not held of the
largest error among 82,000 logits: sharp attention makes some larger. Hugging Face's own model on a
CPU is off by up to 0.042 of the largest logit over three seeds, and by 0.024 of the norm. Another
order of heads moves logits by more than their norm.
"""

import json

import pytest
import torch
from safetensors import safe_open

from tests.gpu.models import MODEL, VOCAB_SIZE
from tests.gpu.runs import RECIPES, losses_of, news_run, skip_unless_able
from tests.oracle import hugging_face_llama
from tests.support.logits import own_logits
from tests.support.tiny import tiny_run

RELATIVE = {"fp32": 5e-5, "bf16": 0.04}


def exported(run, out, dtype):
    """The folder of a run's newest checkpoint, and its tensors."""
    from geo_nemo.export.hugging_face import export
    from geo_nemo.export.source import find_source

    export(find_source(run.output_dir, None, out.parent), out, dtype)
    with safe_open(out / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_logits_are_those_of_the_oracle_and_of_transformers(gpu, tiny_store, tmp_path, dtype):
    transformers = pytest.importorskip("transformers")
    run = tiny_run(
        tiny_store, tmp_path / "run", device="gpu", model=MODEL, precision={"dtype": dtype}
    )
    _, trainer = losses_of(run, gpu)
    read = {name: t.double() for name, t in exported(run, tmp_path / "out", dtype).items()}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    del config["rope_scaling"]
    tokens = torch.randint(0, VOCAB_SIZE, (128,), generator=torch.Generator().manual_seed(3))
    expected = hugging_face_llama.logits(read, config, tokens)
    allowed = RELATIVE[dtype] * expected.norm()
    measured = own_logits(trainer.engine.module, tokens)[:, :VOCAB_SIZE].cpu()
    print(
        f"figure: {dtype}: off by {(measured - expected).norm() / expected.norm():.2g} of the norm"
    )
    assert (measured - expected).norm() < allowed
    model = transformers.LlamaForCausalLM.from_pretrained(
        tmp_path / "out", dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    ).to(gpu)
    with torch.no_grad():
        theirs = model(tokens[None].to(gpu)).logits[0].cpu().double()
    assert (theirs - expected).norm() < allowed
    # The tolerance can tell another order of heads.
    name = "model.layers.0.self_attn.q_proj.weight"
    read[name] = read[name].roll(16, 0)
    turned = hugging_face_llama.logits(read, config, tokens)
    assert (turned - expected).norm() > 3 * allowed


@pytest.mark.parametrize("recipe", RECIPES)
def test_of_an_fp8_run_the_weights_that_its_optimizer_stepped_are_exported(
    gpu, tiny_store, tmp_path, recipe
):
    from geo_nemo.train.masters import masters

    run = news_run(tiny_store, tmp_path / "run", steps=3, precision=f"fp8_{recipe}")
    skip_unless_able(run, gpu)
    _, trainer = losses_of(run, gpu)
    read = exported(run, tmp_path / "out", "fp32")
    kept = {
        name: master.values.view(master.parameter.shape).cpu()
        for master in masters(trainer.engine)
        for name, weight in trainer.engine.module.named_parameters()
        if weight is master.parameter
    }
    for ours, theirs in (
        ("decoder.layers.1.mlp.linear_fc2.weight", "model.layers.1.mlp.down_proj.weight"),
        ("decoder.final_layernorm.weight", "model.norm.weight"),
    ):
        (whole,) = (values for name, values in kept.items() if name.endswith(ours))
        assert torch.equal(whole, read[theirs]), theirs
