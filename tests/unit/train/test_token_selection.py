"""Selective loss by a reference model: the choice beside NumPy, the loss beside plain PyTorch."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from eval.token_selection import top_share
from geo_nemo.cli.select_tokens import command
from geo_nemo.config import MetadataPolicy, Stage, UserError
from geo_nemo.data.audit.check import audit_stage
from geo_nemo.data.dataset import stage_dataset
from geo_nemo.data.sequences import build_sequence
from geo_nemo.data.token_selection import TokenSelection
from geo_nemo.export.scorer import load_scorer
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.train.checkpoint.files import checkpoints, listed_files, read_record
from geo_nemo.train.checkpoint.files import write_record as write_checkpoint_record
from geo_nemo.train.run_record import write_record
from geo_nemo.train.setup import prepare
from tests.support.command import call
from tests.support.runs import Events, assert_of_the_oracle, finished, trainer
from tests.support.tiny import tiny_run

KEEP = 0.4


@pytest.fixture(scope="module")
def chosen(tiny_store, tmp_path_factory, single_process):
    """A run, and what is selected by its end over its middle."""
    output = tmp_path_factory.mktemp("selection")
    made = finished(tiny_store, output / "run")
    write_record(made.prepared, 1)
    arguments = [str(tiny_store), "--model", f"{output / 'run'}@3", "--reference",
                 str(output / "run"), "--keep", str(KEEP), "--out", str(output / "kept"),
                 "--device", "cpu"]  # fmt: skip
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return output


def test_the_top_share_is_that_of_a_sort_and_the_earlier_of_equals():
    assert top_share(np.array([0.1, 3, -1, 3, 2]), 0.4).tolist() == [0, 1, 0, 1, 0]
    assert top_share(np.array([1.0, 1, 1]), 0.5).tolist() == [1, 1, 0]
    assert top_share(np.empty(0), 0.5).tolist() == []
    assert top_share(np.array([1.0]), 0.01).tolist() == [1]


def test_of_each_document_the_tokens_of_most_excess_loss_are_kept(chosen, tiny_store):
    store = TokenStore.open(tiny_store)
    split, tokenizer = store.split("train"), store.tokenizer()
    selection = TokenSelection(chosen / "kept", split, store.hash)
    composer = Composer(MetadataPolicy(fields=()), tokenizer)
    before, after = (load_scorer(chosen / "run", "cpu", step=step) for step in (3, 6))
    labels = len(composer.title_label()) + len(composer.content_label())

    def losses(scorer, title, body):
        """Of title and body, where each piece of 128 positions is scored by itself."""
        first = 128 - labels - len(title)
        starts = [0, *range(first, len(body), 128 - labels)]
        found = []
        for start, stop in zip(starts, [*starts[1:], len(body)], strict=True):
            shown = title if start == 0 else title[:0]
            piece = composer.compose(None, shown, body[start:stop], final=False)
            size = len(piece.ids) - 1
            sequence = build_sequence([piece], [0], size, tokenizer.pad_id, True)
            text = np.isin(sequence.label_kinds, (Kind.TITLE, Kind.BODY))
            found.append(scorer.nll(sequence)[text])
        return np.concatenate(found)

    for number in range(12):
        title, body = split.texts(number)
        excess = losses(before, title, body) - losses(after, title, body)
        kept = np.concatenate(selection.texts(number)).astype(bool)
        assert len(kept) == len(excess) == len(title) + len(body)
        assert kept.sum() == np.ceil(KEEP * len(kept))
        # Packed with others, a loss differs by some 1e-6.
        assert excess[kept].min() >= excess[~kept].max() - 1e-5
    record = json.loads((chosen / "kept" / "token_selection.json").read_text())
    assert record["share"] == KEEP and 0.4 <= record["kept"] / record["tokens"] < 0.42


def selecting(store, output, folder, **changes):
    stages = {"condition": Stage(fraction=1, metadata=MetadataPolicy(**changes),
                                 token_selection=str(folder))}  # fmt: skip
    return tiny_run(store, output, stages=stages)


POLICIES = [
    {},
    {"template": "meco"},  # stored tokens have another beginning there
    {"plain_dropout": 0.3, "dropout": 0.3},
    {"position": "append", "loss_weights": {"metadata": 0.5}},
]


@pytest.mark.parametrize("policy", POLICIES)
def test_other_tokens_are_read_and_not_trained_and_the_loss_is_the_oracle_s(
    chosen, tiny_store, tmp_path, single_process, policy
):
    events = Events()
    made = trainer(selecting(tiny_store, tmp_path, chosen / "kept", **policy), [events])
    prepared = made.prepared
    split = prepared.store.split("train")
    dataset = stage_dataset(prepared.run, split, prepared.tokenizer, "condition")
    assert audit_stage(dataset).violations == ()
    whole = tiny_run(tiny_store, tmp_path, stages={"condition": Stage(fraction=1, metadata=policy)})
    everything = stage_dataset(whole, split, prepared.tokenizer, "condition")
    for sample in range(5):
        one, other = dataset[sample], everything[sample]
        assert np.array_equal(one.tokens, other.tokens)
        text = np.isin(one.label_kinds, (Kind.TITLE, Kind.BODY))
        assert np.array_equal(one.loss_mask[~text], other.loss_mask[~text])
        assert 0.2 < one.loss_mask[text].mean() < 0.6
    made.fit()
    loss, _ = assert_of_the_oracle(made, events.seen[0].batches)
    assert events.seen[0].report.loss == pytest.approx(loss, rel=1e-6)
    name = "stages.condition.token_selection"
    assert prepared.fingerprint[name] == dataset.selection.identity
    assert name not in prepare(whole, world_size=1).fingerprint


@pytest.mark.parametrize(
    ("template", "opened"), [("meco", True), ("meco", False), ("plain", False)]
)
def test_a_token_made_anew_is_trained_where_its_word_is(tiny_store, template, opened):
    store = TokenStore.open(tiny_store)
    split, tokenizer = store.split("train"), store.tokenizer()
    composer = Composer(MetadataPolicy(template=template), tokenizer)
    rng, changed = np.random.default_rng(0), 0
    for number in range(12):
        texts = split.texts(number)
        for splicer, stored in zip(composer.splicers(opened, True), texts, strict=True):
            ids = splicer(stored).whole(stored)
            changed += not np.array_equal(ids, stored)
            spliced = splicer(stored)
            first = spliced.start
            # The first word and what else is made anew with it is short.
            assert (first <= 12 and len(stored) > 20) or len(stored) <= 20
            for kept in (rng.random(len(stored)) < 0.5, np.arange(len(stored)) >= first):
                found = spliced.carried(kept.astype(np.uint8))
                assert len(found) == len(ids)
                inner, front = len(stored) - first, len(spliced.front)
                assert np.array_equal(found[len(found) - inner :], kept[first:])
                assert np.array_equal(ids[len(ids) - inner :], stored[first:])
                assert found[:front].tolist() == [bool(kept[:first].any())] * front
    assert changed > 6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "none"], "--model none: no such folder"),
        (["--reference", "{}@9"], "--reference {}@9: no whole checkpoint of that step"),
    ],
)
def test_a_model_is_named_as_it_was_typed(
    chosen, tiny_store, tmp_path, monkeypatch, capsys, options, says
):
    run = str(chosen / "run")
    words = ["select-tokens", str(tiny_store), "--model", run, "--reference", run]
    words += ["--out", str(tmp_path / "out"), *(word.format(run) for word in options)]
    code, _, told = call(monkeypatch, capsys, *words)
    assert code == 2 and says.format(run) in told and "runs." not in told, told


def test_bits_that_were_changed_are_told_by_the_first_process_of_a_node(
    chosen, tiny_store, tmp_path, monkeypatch
):
    kept = shutil.copytree(chosen / "kept", tmp_path / "kept")
    bits = bytearray((kept / "kept.bin").read_bytes())
    bits[len(bits) // 2] ^= 4
    (kept / "kept.bin").write_bytes(bits)
    run = selecting(tiny_store, tmp_path, kept)
    with pytest.raises(UserError, match=r"kept\.bin was changed since it was made: make it anew"):
        prepare(run, world_size=1)
    prepare(run, world_size=1, tokens=False)  # a plan reads no document
    monkeypatch.setenv("LOCAL_RANK", "1")
    prepare(run, world_size=2)


def test_mistakes_are_one_line(chosen, tiny_store, tmp_path, single_process):
    with pytest.raises(UserError, match="make it anew with geo-nemo select-tokens"):
        prepare(selecting(tiny_store, tmp_path, tmp_path / "none"), world_size=1)
    other = json.loads((chosen / "kept" / "token_selection.json").read_text())
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "kept.bin").write_bytes((chosen / "kept" / "kept.bin").read_bytes())
    for change, words in (({"store": "f" * 64}, "this run reads another"),
                          ({"format": 9}, "is no record of one")):  # fmt: skip
        path = tmp_path / "moved" / "token_selection.json"
        path.write_text(json.dumps(other | change))
        with pytest.raises(UserError, match=words):
            prepare(selecting(tiny_store, tmp_path, tmp_path / "moved"), world_size=1)
    path.write_text("[" * 200_000)
    with pytest.raises(UserError, match="is no record of one"):
        prepare(selecting(tiny_store, tmp_path, tmp_path / "moved"), world_size=1)
    stranger = tmp_path / "stranger"
    shutil.copytree(chosen / "run", stranger)
    for checkpoint in checkpoints(stranger / "checkpoints"):
        told = read_record(checkpoint)
        told["fingerprint"]["tokenizer"] = "0" * 64
        write_checkpoint_record(checkpoint, told, listed_files(told))
    arguments = [str(tiny_store), "--model", str(chosen / "run"), "--reference", str(stranger),
                 "--out", str(tmp_path / "kept")]  # fmt: skip
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, UserError)
    assert "--reference" in str(result.exception) and "another tokenizer" in str(result.exception)
    assert "\n" not in str(result.exception)
