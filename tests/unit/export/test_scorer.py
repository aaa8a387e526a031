"""The scorer of a trained run: exact, in one process, and plain about what is missing."""

import json
import shutil

import numpy as np
import pytest
import torch

from eval.config import EvalConfig
from eval.runner import evaluate
from geo_nemo.config import Data, MetadataPolicy, RunError, UserError
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.sequences import build_sequence
from geo_nemo.export.scorer import load_scorer
from geo_nemo.metadata.compose import NO_TOKENS, Composer
from geo_nemo.store import TokenStore
from geo_nemo.train.run_record import write_record
from tests.oracle.llama import document_logits, document_nll
from tests.support.runs import finished


@pytest.fixture(scope="module")
def run_dir(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("run")
    made = finished(tiny_store, output)
    write_record(made.prepared, 1)
    return output


@pytest.fixture(scope="module")
def sequences(tiny_store):
    store = TokenStore.open(tiny_store)
    split = store.split("test")
    data = Data(store=str(tiny_store), seq_length=128, packing_window=64)
    documents = np.arange(split.num_documents)
    return StageDataset(split, data, MetadataPolicy(), store.tokenizer(), documents, 1, 12)


def test_losses_equal_plain_pytorch_in_double_precision(run_dir, sequences):
    """Of about 6 nats each, in fp32: spacing 4.8e-7, some roundings on the way."""
    scorer = load_scorer(run_dir, device="cpu")
    exact = {name: w.detach().double() for name, w in scorer.model.named_parameters()}
    model = scorer_model(run_dir)
    assert max(len(sequence.cu_seqlens) for sequence in sequences) > 2
    for index in range(len(sequences)):
        sequence = sequences[index]
        measured = scorer.nll(sequence)
        assert measured.dtype == np.float32 and measured.shape == (128,)
        expected = torch.cat(
            [
                document_nll(
                    exact,
                    model,
                    torch.from_numpy(sequence.tokens[start:end]),
                    torch.from_numpy(sequence.labels[start:end]),
                )
                for start, end in zip(sequence.cu_seqlens, sequence.cu_seqlens[1:], strict=False)
            ]
        )
        assert np.abs(measured / expected.numpy() - 1).max() < 2e-6


@pytest.mark.parametrize("strength", [0, 1, 2.5])
def test_guided_losses_are_those_of_mixed_logits_in_double_precision(run_dir, tiny_store, strength):
    """The bodies of six documents, told and not told, one document at a time."""
    store = TokenStore.open(tiny_store)
    split, tokenizer = store.split("test"), store.tokenizer()
    composer = Composer(MetadataPolicy(), tokenizer)
    bodies = [np.asarray(split.body(n))[:9] for n in range(6)]
    blocks = [composer.prefix_ids(split.record(n)) for n in range(6)]

    def row(told):
        found = [
            composer.join(block if told else NO_TOKENS, NO_TOKENS, body, final=False)
            for block, body in zip(blocks, bodies, strict=True)
        ]
        size = sum(len(each.ids) - 1 for each in found)
        return build_sequence(found, [0] * 6, size + 5, tokenizer.pad_id, True)

    told, untold = row(True), row(False)
    scorer = load_scorer(run_dir, device="cpu")
    exact = {name: w.detach().double() for name, w in scorer.model.named_parameters()}
    model, expected = scorer_model(run_dir), []
    for segment in range(6):
        logits = []
        for each in (told, untold):
            mine = slice(*each.cu_seqlens[segment : segment + 2])
            asked = np.flatnonzero(each.loss_mask[mine])
            tokens = torch.from_numpy(each.tokens[mine])
            logits.append(document_logits(exact, model, tokens)[asked])
        labels = torch.from_numpy(told.labels[slice(*told.cu_seqlens[segment : segment + 2])])
        labels = labels[-len(bodies[segment]) :]
        mixed = logits[1] + strength * (logits[0] - logits[1])
        losses = torch.nn.functional.cross_entropy(mixed, labels, reduction="none")
        expected.append(losses.numpy())
    measured = scorer.guided(told, untold, strength)
    wanted = told.loss_mask > 0
    assert wanted.sum() == sum(map(len, bodies)) and (measured[~wanted] == 0).all()
    np.testing.assert_allclose(measured[wanted], np.concatenate(expected), rtol=5e-6)


def test_weights_that_are_no_numbers_name_the_document_and_the_question(
    run_dir, tiny_store, tmp_path
):
    """Through Megatron-Core; the documents of the second evaluation are scored already."""

    def poisoned(model):
        scorer = load_scorer(model.folder, device="cpu")
        with torch.no_grad():
            scorer.model.decoder.final_layernorm.weight[0] = torch.nan
        return scorer

    asked = {"question": "Who leads?", "options": ["Ann", "Ben"], "answer": "B", "country": "gb"}
    (tmp_path / "q.jsonl").write_text(json.dumps(asked))
    config = EvalConfig(
        runs={"a": str(run_dir)}, store=str(tiny_store), output=str(tmp_path / "out"),
        num_documents=4, conditions=("without",), bootstrap_samples=100,
    )  # fmt: skip
    for condition in ("without", "guidance_1.5"):
        with pytest.raises(RunError, match=rf"run a, condition {condition}, document \d+: .* nan"):
            evaluate(config.model_copy(update={"conditions": (condition,)}), poisoned)
    evaluate(config, lambda model: load_scorer(model.folder, device="cpu"))
    with pytest.raises(RunError, match=r"run a, condition without, question row 0: .* nan"):
        evaluate(config.model_copy(update={"questions": tmp_path / "q.jsonl"}), poisoned)


def scorer_model(run_dir):
    from geo_nemo.config import Model

    return Model.model_validate(json.loads((run_dir / "run.json").read_text())["config"]["model"])


def test_its_weights_are_those_of_the_last_step(run_dir, tiny_store, tmp_path):
    trained = finished(tiny_store, tmp_path)
    scorer = load_scorer(run_dir)
    for name, weight in trained.engine.module.named_parameters():
        assert torch.equal(dict(scorer.model.named_parameters())[name], weight), name
    assert (scorer.seq_length, scorer.vocab_size) == (128, trained.prepared.tokenizer.vocab_size)


def test_two_scorers_in_one_process_do_not_disturb_each_other(run_dir, sequences, tmp_path):
    """The second one is of an earlier checkpoint of the same run."""
    first = load_scorer(run_dir)
    before = first.nll(sequences[0])
    shutil.copytree(run_dir, tmp_path / "earlier")
    shutil.rmtree(tmp_path / "earlier" / "checkpoints" / "step_00000006")
    second = load_scorer(tmp_path / "earlier")
    other = second.nll(sequences[0])
    assert not np.allclose(before, other)
    assert np.array_equal(first.nll(sequences[0]), before)
    assert np.array_equal(second.nll(sequences[0]), other)


def damage_no_folder(run):
    shutil.rmtree(run)


def damage_no_record(run):
    (run / "run.json").unlink()


def damage_record(run):
    (run / "run.json").write_text('{"config": {}}')


def damage_record_kind(run):
    (run / "run.json").write_text("[1]")


def damage_record_config(run):
    path = run / "run.json"
    record = json.loads(path.read_text())
    record["config"]["model"]["hiden_size"] = 3
    path.write_text(json.dumps(record))


def damage_no_checkpoint(run):
    shutil.rmtree(run / "checkpoints")


def damage_shard(run):
    shard = run / "checkpoints" / "step_00000006" / "__0_1.distcp"
    shard.write_bytes(shard.read_bytes()[:1000])


def damage_index(run):
    (run / "checkpoints" / "step_00000006" / ".metadata").write_bytes(b"")


def damage_shape(run):
    """A record that tells of another model than the checkpoint holds."""
    path = run / "run.json"
    record = json.loads(path.read_text())
    record["config"]["model"]["num_layers"] = 4
    path.write_text(json.dumps(record))


DAMAGE = {
    damage_no_folder: "is not a training run",
    damage_no_record: "is not a training run",
    damage_record: "is not a training run",
    damage_record_kind: "is not a training run",
    damage_record_config: "unknown key model.hiden_size; did you mean model.hidden_size",
    damage_no_checkpoint: "no whole checkpoint in",
    damage_shard: r"is whole: step_00000006 \(__0_1.distcp has 1,000 bytes of ",
    damage_index: r"is whole: step_00000006 \(.metadata has 0 bytes of ",
    damage_shape: "step_00000006 does not load: ",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_missing_or_broken_is_one_line_that_names_it(run_dir, tmp_path, damage):
    broken = tmp_path / "broken"
    shutil.copytree(run_dir, broken)
    shutil.rmtree(broken / "checkpoints" / "step_00000003")
    damage(broken)
    with pytest.raises(UserError, match=DAMAGE[damage]) as refused:
        load_scorer(broken)
    assert str(broken) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_scores(
    run_dir, sequences, tmp_path, capsys
):
    broken = tmp_path / "broken"
    shutil.copytree(run_dir, broken)
    damage_shard(broken)
    scored = load_scorer(broken).nll(sequences[0])
    (line,) = capsys.readouterr().err.splitlines()
    path = broken / "checkpoints" / "step_00000006"
    assert line.startswith(
        f"geo-nemo: warning: the checkpoint {path} is not whole: __0_1.distcp has 1,000 "
    )
    assert line.endswith("step_00000003 is used")
    shutil.rmtree(path)
    assert np.array_equal(load_scorer(broken).nll(sequences[0]), scored)
