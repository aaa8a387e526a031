"""One store, other trainers: their sequences are ours, each once, over workers, restarts, nodes."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.integrations.store_sequences import (
    IGNORED,
    SequenceStream,
    arrays,
    as_hugging_face,
    digest,
    example,
    inputs_and_labels,
    sequences_of_store,
)
from geo_nemo.store import TokenStore

ROOT = Path(__file__).parents[3]
POLICY = MetadataPolicy(cut="whole")


@pytest.fixture(scope="module")
def sequences(tiny_store):
    return sequences_of_store(str(tiny_store), POLICY, 128, seed=3)


def hashes(stream_sequences):
    return [hash_of(sequence) for sequence in stream_sequences]


def hash_of(sequence):
    return tuple(sequence["tokens"].tolist()), tuple(sequence["loss_mask"].tolist())


@pytest.fixture(scope="module")
def expected(sequences):
    return [hash_of(arrays(sequences[n])) for n in range(len(sequences))]


def test_sequences_follow_from_the_arguments_alone(sequences, tiny_store):
    again = sequences_of_store(str(tiny_store), POLICY, 128, seed=3)
    other = sequences_of_store(str(tiny_store), POLICY, 128, seed=4)
    bare = sequences_of_store(str(tiny_store), MetadataPolicy(fields=()), 128, seed=3)
    mine = [digest(sequences[n]) for n in range(20)]
    assert mine == [digest(again[n]) for n in range(20)]
    assert not set(mine) & {digest(each[n]) for each in (other, bare) for n in range(20)}
    assert len(sequences_of_store(str(tiny_store), POLICY, 128, num_sequences=7)) == 7
    with pytest.raises(UserError, match="has no split dev, only"):
        sequences_of_store(str(tiny_store), POLICY, 128, split="dev")


def test_every_document_of_the_split_is_in_the_sequences_once(sequences, tiny_store):
    """By the tokens of texts, which the store counts."""
    split = TokenStore.open(tiny_store).split("train")
    texts = int(split.body_lengths.sum() + split.title_lengths.sum()) + split.num_documents
    trained = sum(int(sequences[n].loss_mask.sum()) for n in range(len(sequences)))
    assert trained == texts


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.very_slow)])
def test_over_workers_and_processes_each_sequence_comes_once(sequences, expected, workers):
    seen = []
    for rank in range(2):
        loader = DataLoader(
            SequenceStream(sequences, rank, 2), batch_size=None, num_workers=workers
        )
        seen.append(hashes(loader))
    assert sorted(seen[0] + seen[1]) == sorted(expected) and len(seen[0]) > 50
    alone = hashes(DataLoader(SequenceStream(sequences), batch_size=None, num_workers=workers))
    assert alone == expected


def test_a_state_goes_on_behind_what_was_given(sequences, expected):
    stream = SequenceStream(sequences)
    iterator = iter(stream)
    first = [hash_of(next(iterator)) for _ in range(30)]
    other = SequenceStream(sequences)
    other.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert first + hashes(other) == expected
    assert hashes(other) == expected, "the next epoch begins anew"
    with pytest.raises(UserError, match="the state is of rank 0, and this is rank 1"):
        SequenceStream(sequences, 1, 2).load_state_dict({**stream.state_dict(), "world_size": 2})
    with pytest.raises(UserError, match="rank 2 is none of 2"):
        SequenceStream(sequences, 2, 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_torchdata_s_loader_keeps_it(sequences, expected, workers):
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="make test-tune has it")

    def loader():
        return stateful.StatefulDataLoader(
            SequenceStream(sequences),
            batch_size=None,
            num_workers=workers,
            snapshot_every_n_steps=1,
        )

    one = loader()
    iterator = iter(one)
    first = [hash_of(next(iterator)) for _ in range(31)]
    state = one.state_dict()
    other = loader()
    other.load_state_dict(state)
    assert first + hashes(other) == expected


def test_an_example_has_the_same_loss_as_the_sequence(sequences):
    """Of a model that looks one token back: losses by plain sums over either form."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(
        sequences.tokenizer.vocab_size, sequences.tokenizer.vocab_size, generator=generator
    )
    nll = -torch.log_softmax(logits, -1).double()
    for n in range(5):
        sequence = arrays(sequences[n])
        ours = (nll[sequence["tokens"], sequence["labels"]] * sequence["loss_mask"]).sum()
        made = example(sequences[n])
        ids, labels = torch.tensor(made["input_ids"]), torch.tensor(made["labels"])
        kept = labels[1:] != IGNORED
        theirs = nll[ids[:-1][kept], labels[1:][kept]].sum()
        assert torch.allclose(ours, theirs)
        assert (
            sum(made["seq_lengths"]) == len(ids) and int(kept.sum()) == sequence["loss_mask"].sum()
        )


def test_labels_of_torchtitan_s_shape_have_no_loss_on_metadata(sequences, tiny_store):
    sequence = sequences[0]
    inputs, labels = inputs_and_labels(sequence)
    assert inputs["input"].tolist() == sequence.tokens.tolist()
    assert inputs["positions"].tolist() == sequence.position_ids.tolist()
    trained = torch.as_tensor(sequence.loss_mask > 0)
    assert labels[trained].tolist() == sequence.labels[trained.numpy()].tolist()
    assert not trained.all() and (labels[~trained] == IGNORED).all()
    weighed = MetadataPolicy(cut="whole", loss_weights={"body": 0.5})
    with pytest.raises(UserError, match="have no place in these labels"):
        inputs_and_labels(sequences_of_store(str(tiny_store), weighed, 128)[0])


def test_hugging_face_s_datasets_has_the_same(sequences):
    datasets = pytest.importorskip("datasets", reason="make test-tune has it")
    from datasets.distributed import split_dataset_by_node

    datasets.disable_progress_bars()
    plain = [example(sequences[n]) for n in range(len(sequences))]
    assert list(as_hugging_face(sequences)) == plain
    parts = as_hugging_face(sequences, num_shards=4)
    assert parts.num_shards == 4
    nodes = [split_dataset_by_node(parts, rank, 2) for rank in range(2)]
    found = [each for node in nodes for each in node]
    key = json.dumps
    assert sorted(map(key, found)) == sorted(map(key, plain))


READ = """
import json, sys
from torch.utils.data import DataLoader
from geo_nemo.integrations.webdataset_sequences import open_sequences, read_sequence
from pathlib import Path
if __name__ == "__main__":
    loader = DataLoader(open_sequences(Path(sys.argv[1])), batch_size=None, num_workers=2)
    for sample in loader:
        row = read_sequence(sample)
        print(json.dumps([sample["__key__"], row["tokens"].tolist(), row["position_ids"].tolist()]))
"""


@pytest.fixture(scope="module")
def exported(sequences, tmp_path_factory):
    pytest.importorskip("webdataset", reason="it came with the pins of November 2026")
    from geo_nemo.integrations.webdataset_sequences import write_sequences

    out = tmp_path_factory.mktemp("wds") / "out"
    written = write_sequences(sequences, out, {"policy": POLICY.hash()}, sequences_per_shard=20)
    assert written.sequences == len(sequences) and written.shards == -(-len(sequences) // 20)
    return out


@pytest.mark.very_slow
def test_two_nodes_of_two_workers_read_each_sequence_once(sequences, exported, tmp_path):
    script = tmp_path / "read.py"
    script.write_text(READ)
    found = []
    for rank in range(2):
        done = subprocess.run(
            [sys.executable, str(script), str(exported)], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RANK": str(rank), "WORLD_SIZE": "2"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append([json.loads(line) for line in done.stdout.splitlines()])
    assert min(map(len, found)) > 20
    by_key = {key: (tokens, places) for part in found for key, tokens, places in part}
    assert len(by_key) == len(found[0]) + len(found[1]) == len(sequences)
    for n in range(len(sequences)):
        tokens, places = by_key[f"{n:012d}"]
        assert (
            tokens == sequences[n].tokens.tolist() and places == sequences[n].position_ids.tolist()
        )


def test_shards_hold_the_sequences_and_the_same_bytes_again(sequences, exported, tmp_path):
    from geo_nemo.integrations.webdataset_sequences import (
        open_sequences,
        read_sequence,
        write_sequences,
    )

    for n, sample in enumerate(open_sequences(exported)):
        sequence = read_sequence(sample)
        for name in ("tokens", "labels", "loss_mask", "cu_seqlens", "group_ids", "position_ids"):
            np.testing.assert_array_equal(sequence[name], getattr(sequences[n], name), name)
    assert n == len(sequences) - 1
    write_sequences(
        sequences, tmp_path / "again", {"policy": POLICY.hash()}, sequences_per_shard=20
    )
    for path in exported.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(UserError, match="is there already"):
        write_sequences(sequences, exported, {})
    next((tmp_path / "again").glob("*.tar")).unlink()
    with pytest.raises(UserError, match="is missing or cut off"):
        open_sequences(tmp_path / "again")
    for content, says in (
        ("{", "is not JSON; export the rows anew"),
        ("{}", "lacks 'shards'; export the rows anew"),
        ('{"shards": [3]}', "does not hold what it should"),
        ('{"shards": [{"path": "../exported/rows-000000.tar", "bytes": 1}]}', "again/rows-000000"),
    ):
        (tmp_path / "again" / "rows.json").write_text(content)
        with pytest.raises(UserError, match=says):
            open_sequences(tmp_path / "again")


def test_the_command_exports_a_country_s_sequences(tiny_store, tmp_path, monkeypatch, capsys):
    pytest.importorskip("webdataset", reason="it came with the pins of November 2026")
    from geo_nemo.integrations.webdataset_sequences import open_sequences
    from tests.support.command import call

    words = ["store", "export", str(tiny_store), "--format", "webdataset", "--seq-length", "128"]
    out = tmp_path / "out"
    code, printed, told = call(
        monkeypatch, capsys, *words, "--out", str(out), "--policy", "country",
        "--where", "country=gb", "--rows-per-shard", "4",
    )  # fmt: skip
    assert code == 0, told
    index = json.loads((out / "rows.json").read_text())
    assert f"{index['rows']} sequences of 128 in {len(index['shards'])} shards" in printed
    assert index["where"] == "country=gb" and index["policy"]["fields"] == ["country"]
    tokenizer = TokenStore.open(tiny_store).tokenizer()
    samples = list(open_sequences(out))
    assert len(samples) == index["rows"] > 4
    first = np.load(io.BytesIO(samples[0]["tokens.npy"]))
    assert tokenizer.decode(first.tolist()).startswith("COUNTRY: gb\n\n")
    for more, says in (
        (["--out", str(out)], "is there already: remove it"),
        (["--out", "s3://bucket/rows"], "--out s3://bucket/rows: give a path on a disk"),
        (["--out", str(tmp_path / "b"), "--where", "country=fr"], "has country=fr"),
        (["--out", str(tmp_path / "b"), "--split", "dev"], "has no split dev"),
        (["--out", str(tmp_path / "b"), "--seq-length", "3"], "--seq-length is 16 or more"),
        (
            ["--out", str(tmp_path / "b"), "--seq-length", "16"],
            "room for text at seq_length 16: raise --seq-length or",
        ),
    ):
        code, _, told = call(monkeypatch, capsys, *words, *more)
        assert code == 2 and says in told and told.count("\n") == 1, told
    assert not (tmp_path / "b").exists()
