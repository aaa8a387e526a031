"""An embedding of the group at the output: beside plain PyTorch, and left out of exports."""

import pytest
import torch
from transformers import LlamaForCausalLM

from geo_nemo.config import UserError
from geo_nemo.export.hugging_face import export
from geo_nemo.export.scorer import load_scorer
from geo_nemo.export.source import find_source
from geo_nemo.train.engine import Engine
from geo_nemo.train.micro_batch import forward, to_device
from geo_nemo.train.run_record import write_record
from geo_nemo.train.setup import prepare
from tests.oracle import llama
from tests.support.batches import ragged_batches
from tests.support.logits import own_logits
from tests.support.runs import assert_same_weights, deterministic, trainer
from tests.support.tiny import VOCAB_SIZE, tiny_run

CPU = torch.device("cpu")
MODEL = tiny_run("store", "out").model.model_copy(update={"group_embedding": True})


def plain_loss_and_gradients(weights, batches):
    """As tests/oracle, whose logits are those of x; here x has a row of its group added."""
    weights = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    whole = {n: w for n, w in weights.items() if n != "group_embedding.weight"}
    total, count = 0.0, 0.0
    for batch in batches:
        tokens, labels, mask, groups = (
            torch.as_tensor(getattr(batch, name)).flatten()
            for name in ("tokens", "labels", "loss_mask", "group_ids")
        )
        for start, end in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True):
            here = slice(int(start), int(end))
            # By an output layer that gives back what it is given: the hidden states.
            hidden = (
                hidden_of(whole, tokens[here])
                + weights["group_embedding.weight"][groups[here].long()]
            )
            logits = hidden @ weights["output_layer.weight"].T
            nll = torch.logsumexp(logits, -1) - logits.gather(-1, labels[here, None])[:, 0]
            total = total + (mask[here].double() * nll).sum()
            count += float(mask[here].sum())
    (total / count).backward()
    return float(total / count), {name: w.grad for name, w in weights.items()}


def hidden_of(weights, tokens):
    x = weights["embedding.word_embeddings.weight"][tokens]
    for layer in range(MODEL.num_layers):
        at = f"decoder.layers.{layer}."
        normed = llama.rms_norm(x, weights[at + "input_layernorm.weight"], MODEL.norm_epsilon)
        qkv, out = (weights[f"{at}self_attention.linear_{name}.weight"] for name in ("qkv", "proj"))
        x = x + llama.attention(normed, qkv, out, MODEL)
        normed = llama.rms_norm(x, weights[at + "pre_mlp_layernorm.weight"], MODEL.norm_epsilon)
        gate, up = (normed @ weights[at + "mlp.linear_fc1.weight"].T).chunk(2, dim=-1)
        x = x + (gate * torch.sigmoid(gate) * up) @ weights[at + "mlp.linear_fc2.weight"].T
    return llama.rms_norm(x, weights["decoder.final_layernorm.weight"], MODEL.norm_epsilon)


def test_loss_and_gradients_are_those_of_the_oracle(single_process):
    engine = Engine(tiny_run("store", "out", model=MODEL), VOCAB_SIZE, 3, CPU)
    rows = engine.module.group_embedding.weight
    assert rows.shape == (3, MODEL.hidden_size) and not rows.any()
    with torch.no_grad():
        rows.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    batches = ragged_batches(seed=1, vocab_size=VOCAB_SIZE)
    weights = {name: w.detach().double() for name, w in engine.module.named_parameters()}
    loss, gradients = plain_loss_and_gradients(weights, batches)
    engine.zero_gradients()
    totals = engine._reduce(engine.forward_backward(batches)).sum(1)
    assert totals[0] / totals[1] == pytest.approx(loss, rel=1e-6)
    assert "group_embedding.weight" in gradients
    for name, weight in engine.module.named_parameters():
        assert (weight.main_grad.double() - gradients[name]).abs().max() <= 1e-6, name
    with torch.no_grad():  # told nothing, as validation and whoever uses the model
        tensors = to_device(batches[1], CPU)
        sums, _ = engine.evaluate(batches[1:2])
        nll = forward(engine.module, tensors)[0]
    # Of some hundred nats in fp32.
    told = (nll.double() * tensors["loss_mask"][0]).sum()
    assert abs(sums.sum() - told) < 1e-3


@pytest.fixture(scope="module")
def trained(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("langsamp")
    made, events = deterministic(tiny_run(tiny_store, output, model=MODEL))
    write_record(made.prepared, 1)
    return output, made, events


def test_it_learns_resumes_and_is_left_out_of_export_and_scorer(trained, tiny_store, tmp_path):
    output, made, events = trained
    assert made.engine.module.group_embedding.weight.abs().max() > 1e-4
    deterministic(tiny_run(tiny_store, tmp_path / "run", model=MODEL), stop=3)
    resumed, later = deterministic(tiny_run(tiny_store, tmp_path / "run", model=MODEL))
    assert [e.report.loss for e in later] == [e.report.loss for e in events[3:]]
    assert_same_weights(made, resumed)

    out = tmp_path / "hf"
    export(find_source(str(output), None, tmp_path), out, "fp32")
    model = LlamaForCausalLM.from_pretrained(out)
    tokens = torch.arange(5, 60)
    with torch.no_grad():
        measured = model(tokens[None]).logits[0].double()
    scorer = load_scorer(output, "cpu")
    assert not hasattr(scorer.model, "group_embedding")
    ours = own_logits(scorer.model, tokens)[:, :VOCAB_SIZE]
    assert (measured - ours).norm() <= 5e-5 * ours.norm()
    assert "It is left out here." in (out / "README.md").read_text()


def test_what_it_is_of_is_part_of_the_fingerprint_where_there_is_one(trained, tiny_store, tmp_path):
    prepared = trained[1].prepared
    assert prepared.fingerprint["groups"] == "country"
    assert "groups" not in prepare(tiny_run(tiny_store, tmp_path), world_size=1).fingerprint


def test_first_weights_without_one_are_refused_by_name(trained, tiny_store, tmp_path):
    other = tiny_run(tiny_store, tmp_path, init={"checkpoint": str(trained[0])})
    prepare(other, world_size=1)  # the embedding is left where it is
    trainer(tiny_run(tiny_store, tmp_path / "plain")).fit()
    wanted = tiny_run(tiny_store, tmp_path, model=MODEL,
                      init={"checkpoint": str(tmp_path / "plain")})  # fmt: skip
    with pytest.raises(UserError, match=r"model\.group_embedding=False"):
        prepare(wanted, world_size=1)
