"""Learnable meta-tokens: rows, loss, resume, export; tests/dist has them under TP and PP."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from eval.model import Model, policies
from geo_nemo.config import Init, MetadataPolicy, Parallel, Stage, UserError
from geo_nemo.data.audit.check import audit_stage
from geo_nemo.data.dataset import stage_dataset
from geo_nemo.export.hugging_face import export
from geo_nemo.export.source import find_source
from geo_nemo.metadata.record import Kind
from geo_nemo.model.layout import check_layout
from geo_nemo.train.engine import Engine
from geo_nemo.train.setup import prepare
from tests.support.logits import own_logits
from tests.support.runs import (
    Events,
    assert_of_the_oracle,
    assert_same_weights,
    deterministic,
    trainer,
)
from tests.support.tiny import VOCAB_SIZE, tiny_run

COUNT = 5
STAGES = {
    "condition": Stage(fraction=0.5, metadata=MetadataPolicy(cut="whole", meta_tokens=COUNT)),
    "cooldown": Stage(fraction=0.5, metadata=MetadataPolicy(fields=(), cut="whole", meta_tokens=2)),
}


def trained(store, output, stop=None):
    return deterministic(tiny_run(store, output, stages=STAGES), stop)


@pytest.fixture(scope="module")
def whole(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("meta")
    return output, *trained(tiny_store, output)


@pytest.mark.parametrize(("stage", "count"), [("condition", COUNT), ("cooldown", 2)])
def test_they_stand_in_front_of_each_document_out_of_the_loss(whole, stage, count):
    prepared = whole[1].prepared
    split = prepared.store.split("train")
    dataset = stage_dataset(prepared.run, split, prepared.tokenizer, stage)
    assert audit_stage(dataset).violations == ()
    expected = np.arange(VOCAB_SIZE, VOCAB_SIZE + count)
    for sample in range(4):
        sequence = dataset[sample]
        for start, group in zip(sequence.cu_seqlens, sequence.segment_ids[sequence.cu_seqlens[:-1]]
                                .tolist(), strict=False):  # fmt: skip
            if group >= 0:
                here = slice(start, start + count)
                assert sequence.labels[here].tolist() == expected.tolist()
                assert not sequence.loss_mask[here].any()
                assert (sequence.label_kinds[here] == Kind.METADATA).all()


def test_their_rows_learn_and_the_loss_is_the_oracle_s(whole):
    _, made, events = whole
    assert made.prepared.vocab_size == VOCAB_SIZE + COUNT
    _, gradients = assert_of_the_oracle(made, events[0].batches)
    rows = gradients["embedding.word_embeddings.weight"][VOCAB_SIZE : VOCAB_SIZE + COUNT]
    assert (rows.abs().amax(dim=1) > 1e-4).all()


def test_a_stop_changes_no_bit(whole, tiny_store, tmp_path):
    _, made, events = whole
    trained(tiny_store, tmp_path, stop=3)
    resumed, later = trained(tiny_store, tmp_path)
    assert [e.report.loss for e in later] == [e.report.loss for e in events[3:]]
    assert_same_weights(made, resumed)


def test_an_export_has_their_rows_and_its_tokenizer_and_template_know_them(whole, tmp_path):
    output, made, _ = whole
    out = tmp_path / "hf"
    export(find_source(str(output), None, tmp_path), out, "fp32")
    model = LlamaForCausalLM.from_pretrained(out)
    assert model.get_input_embeddings().weight.shape[0] == VOCAB_SIZE + COUNT
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert len(tokenizer) == VOCAB_SIZE + COUNT
    names = [f"<|meta_{number}|>" for number in range(COUNT)]
    ids = list(range(VOCAB_SIZE, VOCAB_SIZE + COUNT))
    assert tokenizer.convert_tokens_to_ids(names) == ids
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "It rains."}], tokenize=False, metadata={"country": "gb"}
    )
    asked = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert asked[: 1 + COUNT] == [tokenizer.bos_token_id, *ids]
    tokens = torch.tensor(asked)
    with torch.no_grad():
        measured = model(tokens[None]).logits[0].double()
    ours = own_logits(made.engine.module, tokens)[:, : VOCAB_SIZE + COUNT]
    # fp32 against fp32 in another order (tests/unit/train/test_init_weights.py derives it).
    assert (measured - ours).norm() <= 5e-5 * ours.norm()
    assert "`<|meta_0|>`" in (out / "README.md").read_text()


@pytest.mark.parametrize("count", [1, 64, 300])
def test_any_count_has_its_rows_padded(count):
    stages = {"condition": Stage(fraction=1, metadata=MetadataPolicy(meta_tokens=count))}
    run = tiny_run("store", "out", stages=stages)
    engine = Engine(run, VOCAB_SIZE + run.meta_tokens, 1, torch.device("cpu"))
    rows = engine.module.embedding.word_embeddings.weight.shape[0]
    assert rows % 128 == 0 and 0 <= rows - VOCAB_SIZE - count < 128


def test_a_count_that_breaks_the_padding_under_tensor_parallelism_is_one_line(tiny_store, tmp_path):
    model = tiny_run("store", "out").model.model_copy(update={"make_vocab_size_divisible_by": 1})
    run = tiny_run(tiny_store, tmp_path, stages=STAGES, model=model, parallel=Parallel(tensor=2))
    words = f"vocabulary {VOCAB_SIZE + COUNT} padded to {VOCAB_SIZE + COUNT}: .* not a multiple of"
    with pytest.raises(UserError, match=words):
        prepare(run, world_size=2)
    even = tiny_run("store", "out", model=model, parallel=Parallel(tensor=2))
    check_layout(even, VOCAB_SIZE, 2)


def test_first_weights_of_another_number_of_rows_are_refused_by_name(whole, tiny_store, tmp_path):
    many = {"condition": Stage(fraction=1, metadata=MetadataPolicy(meta_tokens=200))}
    run = tiny_run(tiny_store, tmp_path, stages=many, init=Init(checkpoint=str(whole[0])))
    with pytest.raises(UserError, match=re.escape("give a stage metadata.meta_tokens=5")):
        prepare(run, world_size=1)


@pytest.mark.parametrize("cut", ["whole", "parts"])
def test_beside_metadata_behind_the_text_they_stay_out_of_the_loss(
    tiny_store, tmp_path, single_process, cut
):
    policy = MetadataPolicy(
        cut=cut, meta_tokens=3, position="append", loss_weights={"metadata": 0.5}
    )
    stages = {"condition": Stage(fraction=1, metadata=policy)}
    events = Events()
    made = trainer(tiny_run(tiny_store, tmp_path, stages=stages), [events])
    prepared = made.prepared
    split = prepared.store.split("train")
    dataset = stage_dataset(prepared.run, split, prepared.tokenizer, "condition")
    assert audit_stage(dataset).violations == ()
    seen = 0
    for sequence in map(dataset.__getitem__, range(150)):
        for start, stop, group in zip(
            sequence.cu_seqlens[:-1], sequence.cu_seqlens[1:],
            sequence.segment_ids[sequence.cu_seqlens[:-1]], strict=True,
        ):  # fmt: skip
            if group < 0:
                continue
            weights = sequence.loss_mask[start:stop]
            assert sequence.labels[start : start + 3].tolist() == [VOCAB_SIZE + n for n in range(3)]
            assert not weights[:3].any()
            behind = sequence.label_kinds[start:stop] == Kind.METADATA
            assert (weights[behind] == 0.5).all() and not behind[:3].any()
            seen += behind.sum()
    assert seen > 10
    made.fit()
    loss, _ = assert_of_the_oracle(made, events.seen[0].batches)
    assert events.seen[0].report.loss == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"mask_loss": False},
        {"loss_weights": {"metadata": 1}},
        {"position": "append", "mask_loss": False},
        {"position": "append", "loss_weights": {"metadata": 1, "label": 1}},
    ],
)
def test_they_are_never_targets(settings):
    with pytest.raises(ValueError, match="meta_tokens stand out of the loss"):
        MetadataPolicy(meta_tokens=1, **settings)


def test_an_evaluation_shows_each_model_as_many_as_its_last_stage_had():
    def model(name, stages):
        return Model(name, Path(), "run", "", 1, 1, "", 128, stages=stages)

    plain = {"only": Stage(fraction=1, metadata=MetadataPolicy())}
    models = {"meta": model("meta", STAGES), "plain": model("plain", plain)}
    for given in (None, MetadataPolicy(fields=("url",))):
        found = policies(models, given)
        assert {name: policy.meta_tokens for name, policy in found.items()} == {
            "meta": 2, "plain": 0
        }  # fmt: skip
        assert found["plain"] == (given or MetadataPolicy())
