"""Exports equal, byte for byte, what Megatron's own builder makes of the whole texts."""

import errno
import json
import os

import numpy as np
import pytest

from data_prep.store_tools import export as export_module
from data_prep.store_tools import megatron
from data_prep.store_tools.export import export_megatron
from data_prep.store_tools.where import parse_where
from geo_nemo.common.errors import UserError
from geo_nemo.common.lock import folder_lock
from geo_nemo.config import MetadataPolicy
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store import TokenStore
from tests.unit.data_prep.store_tools.test_whole import whole_text
from tests.unit.data_prep.store_tools.worlds import CONTINENTS, KINDS, Text, write_store

TEXTS = [
    Text("It rained.", "Rain!", "gb", "news.co.uk", "/a/"),
    Text(
        "Caf\u00e9 \u4f60\u597d </s> <|end_of_text|>\n\nend\n",
        "",
        "ke",
        "nation.africa",
        "",
        "http",
    ),
    Text('He said: "no."', "It's 25% more...", "us", "a.com", "/x?q=1"),
    Text("", "Only a title", "ie", "b.ie", "/"),
    Text("x " * 300, "A\nB", "gb", "news.co.uk", "/z"),
    *[Text(f"Story {i} of the day.", f"Title {i}", "us", f"h{i}.com", f"/{i}/") for i in range(6)],
]
APPEND = {"position": "append", "mask_loss": False}
POLICIES = {
    "all": MetadataPolicy(),
    "none": MetadataPolicy(fields=()),
    "country_url": MetadataPolicy(fields=("country", "url")),
    "path": MetadataPolicy(fields=("url", "country"), url_form="path"),
    "full": MetadataPolicy(fields=("url",), url_form="full"),
    "append": MetadataPolicy(**APPEND),
    "append_path": MetadataPolicy(fields=("continent", "url"), url_form="path", **APPEND),
}


@pytest.fixture(scope="module")
def stores(tokenizer_paths, tmp_path_factory):
    return {
        kind: TokenStore.open(
            write_store(tmp_path_factory.mktemp("stores") / kind, path, {"train": TEXTS})
        )
        for kind, path in tokenizer_paths.items()
    }


def files_by_megatron(folder, documents, dtype) -> tuple[bytes, bytes]:
    """.bin and .idx of Megatron's builder, fed with one list of ids a document."""
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(str(folder / "peer.bin"), dtype=dtype)
    for ids in documents:
        builder.add_document(torch.tensor(ids, dtype=torch.int64), [len(ids)])
    builder.finalize(str(folder / "peer.idx"))
    return (folder / "peer.bin").read_bytes(), (folder / "peer.idx").read_bytes()


def ids_of_whole_text(tokenizer, policy, text) -> list[int]:
    record = MetadataRecord(
        text.host, text.country, CONTINENTS[text.country], text.path, text.scheme
    )
    whole = whole_text(policy, record, text.title, text.body)
    return [tokenizer.bos_id, *tokenizer.encode(whole), tokenizer.eos_id]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", POLICIES)
def test_files_are_those_of_megatron_s_builder(stores, tokenizers, tmp_path, kind, name):
    policy, tokenizer = POLICIES[name], tokenizers[kind]
    done = export_megatron(stores[kind], tmp_path / "ours", policy)
    whole = [ids_of_whole_text(tokenizer, policy, text) for text in TEXTS]
    expected = files_by_megatron(tmp_path, whole, np.uint16)
    assert (tmp_path / "ours.bin").read_bytes() == expected[0]
    assert (tmp_path / "ours.idx").read_bytes() == expected[1]
    assert (done.documents, done.tokens) == (len(TEXTS), sum(map(len, whole)))
    assert done.bytes == len(expected[0]) + len(expected[1])
    assert done.checked == len(TEXTS)


def test_small_buffers_and_chunks_give_the_same_files(stores, tokenizers, tmp_path, monkeypatch):
    monkeypatch.setattr(megatron, "BUFFERED_TOKENS", 7)
    monkeypatch.setattr(megatron, "CHUNK", 2)
    export_megatron(stores["llama_3"], tmp_path / "ours", MetadataPolicy())
    whole = [ids_of_whole_text(tokenizers["llama_3"], MetadataPolicy(), text) for text in TEXTS]
    expected = files_by_megatron(tmp_path, whole, np.uint16)
    found = (tmp_path / "ours.bin").read_bytes(), (tmp_path / "ours.idx").read_bytes()
    assert found == expected


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(65_499, np.uint16), (65_500, np.int32), (128_256, np.int32)]
)
def test_token_type_is_megatron_s_choice(vocab_size, dtype):
    from megatron.core.datasets.indexed_dataset import DType

    assert megatron.token_type(vocab_size) == dtype
    assert DType.optimal_dtype(vocab_size) is dtype


def test_four_byte_files_are_those_of_megatron_s_builder(tmp_path):
    documents = [[1, 70_000, 2], [128_255], [3] * 10]
    writer = megatron.IndexedWriter(tmp_path, np.dtype(np.int32))
    for ids in documents:
        writer.add([np.array(ids[:1], np.int32), np.array(ids[1:], np.uint32)])
    writer.finish()
    expected = files_by_megatron(tmp_path, documents, np.int32)
    assert (writer.bin_path.read_bytes(), writer.idx_path.read_bytes()) == expected


def test_golden_index(tmp_path):
    writer = megatron.IndexedWriter(tmp_path, np.dtype(np.uint16))
    writer.add([np.array([5, 6])])
    writer.add([np.array([7])])
    writer.finish()
    assert writer.bin_path.read_bytes() == bytes([5, 0, 6, 0, 7, 0])
    index = writer.idx_path.read_bytes()
    assert index[:34].hex() == (
        "4d4d4944494458000001000000000000000802000000000000000300000000000000"
    )
    assert np.frombuffer(index, "<i4", 2, 34).tolist() == [2, 1]
    assert np.frombuffer(index, "<i8", 2, 42).tolist() == [0, 4]
    assert np.frombuffer(index, "<i8", 3, 58).tolist() == [0, 1, 2]
    assert len(index) == 82
    assert sorted(os.listdir(tmp_path)) == ["data.bin", "data.idx"]


def test_megatron_reads_what_was_exported(stores, tmp_path):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    store = stores["sentencepiece"]
    export_megatron(store, tmp_path / "out", MetadataPolicy(), as_trained=True)
    dataset = IndexedDataset(str(tmp_path / "out"))
    composer, split = Composer(MetadataPolicy(), store.tokenizer()), store.split("train")
    expected = [
        composer.compose(split.record(i), split.title(i), split.body(i)).ids for i in range(11)
    ]
    assert [dataset[i].tolist() for i in range(len(dataset))] == [e.tolist() for e in expected]
    assert dataset.document_indices.tolist() == list(range(12))


def test_conditions_leave_documents_out_in_order(stores, tokenizers, tmp_path):
    done = export_megatron(
        stores["gpt_2"], tmp_path / "o", MetadataPolicy(), where=parse_where(["continent!=America"])
    )
    kept = [text for text in TEXTS if text.country != "us"]
    whole = [ids_of_whole_text(tokenizers["gpt_2"], MetadataPolicy(), text) for text in kept]
    assert (tmp_path / "o.bin").read_bytes() == np.concatenate(whole).astype("<u2").tobytes()
    assert done.documents == len(kept) == 4


def test_the_record_beside_the_files_says_what_they_are(stores, tmp_path):
    store = stores["llama_3"]
    export_megatron(store, tmp_path / "o", POLICIES["path"], where=parse_where(["year=0"]))
    about = json.loads((tmp_path / "o.json").read_bytes())
    assert about["store"] == store.hash
    assert about["policy"] == {
        "fields": ["url", "country"], "url_form": "path", "position": "prepend", "mask_loss": True
    }  # fmt: skip
    assert (about["where"], about["split"], about["documents"]) == ("year=0", "train", 11)


def test_an_export_replaces_an_export_and_nothing_else(stores, tmp_path):
    store = stores["llama_3"]
    export_megatron(store, tmp_path / "o", MetadataPolicy())
    first = (tmp_path / "o.bin").read_bytes()
    export_megatron(store, tmp_path / "o", MetadataPolicy(fields=()))
    assert (tmp_path / "o.bin").read_bytes() != first
    assert sorted(os.listdir(tmp_path)) == ["o.bin", "o.idx", "o.json"]
    (tmp_path / "theirs.idx").write_bytes(b"theirs")
    with pytest.raises(UserError, match=r"theirs.idx exists and was not made by"):
        export_megatron(store, tmp_path / "theirs", MetadataPolicy())
    assert (tmp_path / "theirs.idx").read_bytes() == b"theirs"


@pytest.mark.parametrize("step", ["write", "index", "bin", "idx"])
def test_a_full_disk_is_one_line_and_leaves_no_index(stores, tmp_path, monkeypatch, step):
    """`idx` stands for whole: whatever stops the export, it is not there, or the old one was."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    replace, calls = os.replace, []

    def replace_until(source, target):
        calls.append(str(target))
        if str(target).endswith(f".{step}"):
            full()
        replace(source, target)

    if step == "write":
        monkeypatch.setattr(megatron.IndexedWriter, "_flush", full)
    elif step == "index":
        monkeypatch.setattr(megatron.IndexedWriter, "_chunks", full)
    else:
        monkeypatch.setattr(export_module.os, "replace", replace_until)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        export_megatron(stores["gpt_2"], tmp_path / "o", MetadataPolicy())
    left = set(os.listdir(tmp_path))
    assert "o.idx" not in left
    assert "o.partial" not in left
    monkeypatch.undo()
    export_megatron(stores["gpt_2"], tmp_path / "o", MetadataPolicy())
    assert sorted(os.listdir(tmp_path)) == ["o.bin", "o.idx", "o.json"]


def test_a_failed_export_keeps_the_old_one(stores, tmp_path, monkeypatch):
    export_megatron(stores["gpt_2"], tmp_path / "o", MetadataPolicy())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"no document of train in .* has country=zz"):
        export_megatron(
            stores["gpt_2"], tmp_path / "o", MetadataPolicy(), where=parse_where(["country=zz"])
        )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_at_once_are_refused(stores, tmp_path):
    with (
        folder_lock(tmp_path / "o.partial"),
        pytest.raises(UserError, match=r"another process is writing in .*o\.partial"),
    ):
        export_megatron(stores["gpt_2"], tmp_path / "o", MetadataPolicy())


def test_tokens_that_are_not_the_whole_text_s_are_refused(tokenizer_paths, tokenizers, tmp_path):
    """A store whose body was tokenised otherwise, here byte by byte, is told by the sample."""
    store = TokenStore.open(
        write_store(tmp_path / "s", tokenizer_paths["llama_3"], {"train": [Text("The day")]})
    )
    letters = [tokenizers["llama_3"].encode(c)[0] for c in " The day"]
    shard = store.shards("train")[0]
    body = np.array(letters, np.uint16)
    (shard.root / "body.bin").write_bytes(body.tobytes())
    (shard.root / "body_end.bin").write_bytes(np.array([len(body)], np.uint32).tobytes())
    with pytest.raises(UserError, match="add --tokens trained"):
        export_megatron(store, tmp_path / "o", MetadataPolicy())
    done = export_megatron(store, tmp_path / "o", MetadataPolicy(), as_trained=True)
    assert (done.documents, done.checked) == (1, 0)
