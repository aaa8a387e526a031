"""Loss and gradients of the train step against plain PyTorch in double precision.

Tolerances are for fp32: a loss of about 6.5 nats has a spacing of 4.8e-7, and gradients, of size at
most 1 here, are sums of some hundred terms of about 1e-3, each rounded at 6e-8 of its size.
"""

import numpy as np
import pytest
import torch

from geo_nemo.config import Model
from geo_nemo.train.engine import Engine
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.batches import ragged_batches, weighted_batches
from tests.support.tiny import tiny_run

TOLERANCE = 1e-6
VOCAB_SIZE = 640


@pytest.fixture(scope="module")
def engine(single_process):
    return Engine(tiny_run("store", "out"), VOCAB_SIZE, 3, torch.device("cpu"))


def weights_of(engine):
    return {name: w.detach().double() for name, w in engine.module.named_parameters()}


def gradients_of(engine):
    return {name: w.main_grad.double() for name, w in engine.module.named_parameters()}


def forward_backward(engine, batches):
    engine.zero_gradients()
    return engine.forward_backward(batches)


@pytest.mark.parametrize(
    "fractions",
    [(0.02, 0.9, 0.4, 0.25), (0.0, 0.5, 0.0, 0.01), (1.0,), (0.0, 1.0)],
    ids=["ragged", "two micro-batches wholly masked", "no mask", "first one wholly masked"],
)
def test_loss_and_gradients_equal_the_oracle(engine, fractions):
    batches = ragged_batches(seed=1, vocab_size=VOCAB_SIZE, fractions=fractions)
    assert_as_the_oracle(engine, batches)


def test_the_z_loss_is_in_the_gradients_of_trained_tokens_alone_and_not_in_the_loss(
    single_process,
):
    run = tiny_run("store", "out")
    run = run.model_copy(update={"train": run.train.model_copy(update={"z_loss": 0.01})})
    engine = Engine(run, VOCAB_SIZE, 3, torch.device("cpu"))
    batches = ragged_batches(seed=1, vocab_size=VOCAB_SIZE, fractions=(0.02, 0.9, 0.0))
    assert_as_the_oracle(engine, batches, z_loss=0.01)
    with pytest.raises(AssertionError):  # the tolerance can tell with from without
        assert_as_the_oracle(engine, batches)


def test_each_token_weighs_what_its_row_says_in_loss_gradients_and_z_loss(engine, single_process):
    batches = weighted_batches(seed=1, vocab_size=VOCAB_SIZE)
    assert 0 < batches[0].loss_mask.sum() < 1  # no count of tokens divides it
    assert_as_the_oracle(engine, batches)
    assert_as_the_oracle(engine, batches[:1])
    run = tiny_run("store", "out")
    run = run.model_copy(update={"train": run.train.model_copy(update={"z_loss": 0.01})})
    weighted = Engine(run, VOCAB_SIZE, 3, torch.device("cpu"))
    assert_as_the_oracle(weighted, batches, z_loss=0.01)


def test_weights_of_one_are_the_mask_in_every_bit(engine):
    batches = ragged_batches(seed=1, vocab_size=VOCAB_SIZE)
    forward_backward(engine, batches)
    masked = gradients_of(engine)
    for batch in batches:
        batch.loss_mask[...] = batch.loss_mask * np.float32(1.0)
    forward_backward(engine, batches)
    assert all(torch.equal(masked[name], g) for name, g in gradients_of(engine).items())


def test_a_step_tells_its_weighted_loss_and_how_many_tokens_it_trained(engine):
    batches = weighted_batches(seed=6, vocab_size=VOCAB_SIZE)
    model = tiny_run("store", "out").model
    loss, _, nll = batch_loss_and_gradients(weights_of(engine), model, batches)
    weights = np.concatenate([b.loss_mask.ravel() for b in batches]).astype(float)
    groups = np.concatenate([b.group_ids.ravel() for b in batches])

    report = engine.train_step(batches, step=0)

    assert abs(report.loss - loss) <= TOLERANCE * loss
    assert report.trained_tokens == (weights > 0).sum()
    assert report.trained_weight == pytest.approx(weights.sum(), rel=1e-12)
    for group in range(3):
        here = groups == group
        assert report.weights[group] == pytest.approx(weights[here].sum(), rel=1e-12)
        assert report.counts[group] == (weights[here] > 0).sum()
        weighted = (nll.numpy() * weights)[here].sum()
        assert report.sums[group] == pytest.approx(weighted, rel=TOLERANCE)


def assert_as_the_oracle(engine, batches, z_loss=0.0):
    model = tiny_run("store", "out").model
    loss, gradients, _ = batch_loss_and_gradients(weights_of(engine), model, batches, z_loss)

    reports = forward_backward(engine, batches)

    sums = sum(float(report["sums"].sum()) for report in reports)
    counts = sum(float(report["weights"].sum()) for report in reports)
    assert counts == pytest.approx(
        sum(float(batch.loss_mask.astype(float).sum()) for batch in batches), rel=1e-12
    )
    assert abs(sums / counts - loss) <= TOLERANCE * loss
    measured = gradients_of(engine)
    assert measured.keys() == gradients.keys()
    for name, expected in gradients.items():
        assert (measured[name] - expected).abs().max() <= TOLERANCE, name
        assert expected.abs().max() > 100 * TOLERANCE, f"{name}: no gradient to compare"


def test_gradients_do_not_depend_on_how_the_batch_is_cut(engine):
    sequences = ragged_batches(
        seed=2, vocab_size=VOCAB_SIZE, fractions=(0.7, 0.1, 0.0, 0.3), sequences=1
    )
    forward_backward(engine, sequences)
    apart = gradients_of(engine)
    joined = ragged_batches(
        seed=2, vocab_size=VOCAB_SIZE, fractions=(0.7, 0.1, 0.0, 0.3), sequences=1
    )
    from geo_nemo.data.batches import Batch

    def pair(a, b):
        stack = {
            name: np.concatenate([getattr(a, name), getattr(b, name)])
            for name in Batch.__dataclass_fields__
            if name not in ("cu_seqlens", "max_seqlen")
        }
        borders = np.concatenate([a.cu_seqlens, b.cu_seqlens[1:] + a.cu_seqlens[-1]])
        return Batch(**stack, cu_seqlens=borders, max_seqlen=max(a.max_seqlen, b.max_seqlen))

    forward_backward(engine, [pair(*joined[:2]), pair(*joined[2:])])
    for name, gradient in gradients_of(engine).items():
        assert (gradient - apart[name]).abs().max() <= TOLERANCE, name


def test_a_packed_sequence_gives_each_document_the_loss_it_has_alone(engine):
    batches = ragged_batches(
        seed=3, vocab_size=VOCAB_SIZE, fractions=(1.0,), sequences=1, length=128
    )
    model = tiny_run("store", "out").model
    _, _, alone = batch_loss_and_gradients(weights_of(engine), model, batches)
    from geo_nemo.train.micro_batch import to_device

    tensors = to_device(batches[0], torch.device("cpu"))
    with torch.no_grad():
        packed = engine.module(
            tensors["tokens"],
            tensors["position_ids"],
            None,
            labels=tensors["labels"],
            packed_seq_params=tensors["packed_seq_params"],
        )
    assert len(batches[0].cu_seqlens) > 4
    assert ((packed[0].double() - alone) / alone).abs().max() <= TOLERANCE


def test_loss_by_group_adds_up_and_a_group_without_tokens_counts_zero(engine):
    batches = ragged_batches(seed=4, vocab_size=VOCAB_SIZE, fractions=(0.5, 0.0), sequences=2)
    for batch in batches:
        batch.group_ids[batch.group_ids == 1] = 0
    model = tiny_run("store", "out").model
    _, _, nll = batch_loss_and_gradients(weights_of(engine), model, batches)
    mask = np.concatenate([b.loss_mask.ravel() for b in batches]).astype(bool)
    sources = np.concatenate([b.group_ids.ravel() for b in batches])

    report = engine.train_step(batches, step=0)

    for source in range(3):
        chosen = nll[torch.from_numpy(mask & (sources == source))]
        assert report.counts[source] == len(chosen)
        assert abs(report.sums[source] - chosen.sum()) <= TOLERANCE * max(chosen.sum(), 1)
    assert report.counts[1] == 0
    assert report.sums[1] == 0


def test_the_model_has_the_parameters_that_the_formula_counts(engine):
    from geo_nemo.model.shape import parameter_count

    counted = sum(w.numel() for w in engine.module.parameters())
    assert counted == parameter_count(tiny_run("store", "out").model, VOCAB_SIZE)


def test_the_paper_s_1b_has_the_published_number_of_parameters():
    from geo_nemo.model.shape import parameter_count

    one_b = Model(
        num_layers=16,
        hidden_size=2048,
        num_attention_heads=16,
        num_query_groups=16,
        ffn_hidden_size=5632,
    )
    assert parameter_count(one_b, 128_256) == 1_347_487_744
