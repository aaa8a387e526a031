"""One part to its shards: what is checked, and what a hash becomes."""

import numpy as np
import pyarrow as pa
import pytest

from data_prep.parts import SCHEMA
from data_prep.tokenise.encoders import Choice, choose_encoder
from data_prep.tokenise.part_shards import (
    CHECKED_CHARACTERS,
    EncodersDiffer,
    content_hashes,
    read_hosts,
    read_shard,
    save_shard,
    write_part,
)
from data_prep.tokenise.shard_writer import Tokens
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data_prep.splits.corpora import document
from tests.unit.data_prep.tokenise.worlds import write_huggingface

NUMBER = 700
NO_PROGRESS = lambda done, documents: None  # noqa: E731


@pytest.fixture(scope="module")
def choice(tmp_path_factory):
    path = write_huggingface(tmp_path_factory.mktemp("t") / "tokenizer.json")
    return choose_encoder(path, load_tokenizer(path))


@pytest.fixture(scope="module")
def batches():
    documents = [document(i, ("gb", "ke")[i % 2]) for i in range(NUMBER)]
    rows = [{name: getattr(d, name) for name in SCHEMA.names} for d in documents]
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_batches(max_chunksize=300)


class Counting:
    """The reference, and the texts it was asked for."""

    name = "counting"

    def __init__(self, reference):
        self._reference = reference
        self.texts = []

    def encode(self, texts):
        self.texts += texts
        return self._reference.encode(texts)


class WrongAbout:
    """Wrong ids for the texts that begin so; as many ids."""

    name = "wrong"

    def __init__(self, reference, start):
        self._reference = reference
        self._start = start

    def encode(self, texts):
        ids = [self._reference.encode([text]).ids for text in texts]
        ids = [i + 1 if text.startswith(self._start) else i
               for i, text in zip(ids, texts, strict=True)]  # fmt: skip
        return Tokens(np.concatenate(ids), np.array([len(i) for i in ids]))


def write(folder, batches, choice, outcome, check=10):
    cluster = np.arange(NUMBER, dtype=np.uint64)
    return write_part(folder, batches, outcome, cluster, choice, "uint16", check, NO_PROGRESS)


def outcomes():
    """Train, but every tenth is validation, every eleventh is dropped, and none is test."""
    outcome = np.zeros(NUMBER, np.uint8)
    outcome[::10] = 1
    outcome[::11] = 7
    return outcome


def test_splits_without_documents_have_no_shard_and_progress_is_in_text_bytes(
    tmp_path, batches, choice
):
    told = []
    outcome = outcomes()
    shards = write_part(
        tmp_path, batches, outcome, np.zeros(NUMBER, np.uint64), choice, "uint16", 4,
        lambda *now: told.append(now),
    )  # fmt: skip
    assert {split: s.entry.documents for split, s in shards.items()} == {
        "train": int((outcome == 0).sum()), "validation": int((outcome == 1).sum()),
    }  # fmt: skip
    assert not (tmp_path / "test").exists()
    text_bytes = sum(len(t.encode()) for b in batches for t in b["text"].to_pylist())
    assert told[-1] == (text_bytes, NUMBER)
    assert [documents for _, documents in told] == [300, 600, 700]


def test_so_many_documents_at_equal_distances_are_encoded_by_the_reference_too(
    tmp_path, batches, choice
):
    counting = Counting(choice.reference)
    outcome = outcomes()
    write(tmp_path, batches, Choice(choice.encoder, counting), outcome, check=10)
    bodies = [int(t.split()[1]) for t in counting.texts if t.startswith(" Report")]
    titles = [int(t.split()[1]) for t in counting.texts if t.startswith(" Story")]
    assert sorted(bodies) == sorted(titles)
    assert len(bodies) == 10
    kept = np.flatnonzero(outcome < 3).tolist()
    assert {min(bodies), max(bodies)} == {kept[0], kept[-1]}
    assert all(55 < gap < 85 for gap in np.diff(sorted(bodies)))


def test_fewer_documents_than_are_to_be_checked_are_all_checked(tmp_path, batches, choice):
    counting = Counting(choice.reference)
    outcome = np.full(NUMBER, 7, np.uint8)
    outcome[[3, 500]] = (0, 2)
    write(tmp_path, batches, Choice(choice.encoder, counting), outcome, check=10)
    assert [t.split()[1] for t in counting.texts] == ["3", "3", "500", "500"]


def test_ids_that_differ_on_a_checked_document_stop_the_part(tmp_path, batches, choice):
    wrong = Choice(WrongAbout(choice.reference, " Report 699 "), choice.reference)
    with pytest.raises(EncodersDiffer) as error:
        write(tmp_path / "a", batches, wrong, outcomes())
    assert str(error.value) == (
        "wrong and tokenizers give different ids for ' Report 699 of ke: the harbour council met.'"
    )
    # 698 is not among those that are looked at.
    unseen = Choice(WrongAbout(choice.reference, " Report 698 "), choice.reference)
    assert write(tmp_path / "b", batches, unseen, outcomes())


def test_a_shard_that_was_saved_is_read_as_it_was(tmp_path, batches, choice):
    shard = write(tmp_path, batches, choice, outcomes())["train"]
    save_shard(tmp_path / "train", shard)
    assert read_shard(tmp_path / "train") == (shard.entry, shard.by_country)
    assert read_hosts(tmp_path / "train") == shard.hosts == ["www.daily.co.ke", "www.news.co.uk"]


def test_content_hashes_are_the_first_8_bytes_in_any_slice():
    values = [bytes(range(16)), b"\xff" * 16, b"\0" * 7 + b"\x01" + b"\x09" * 8]
    column = pa.array(values, pa.binary(16))
    assert content_hashes(column).tolist() == [0x0001020304050607, 2**64 - 1, 1]
    assert content_hashes(column[1:]).tolist() == [2**64 - 1, 1]
    assert content_hashes(column[:0]).tolist() == []


def test_of_a_long_text_the_start_is_compared(tmp_path, batches, choice):
    long = pa.array(["word " * 3000 if row == 0 else "short" for row in range(300)])
    first = batches[0].set_column(batches[0].schema.get_field_index("text"), "text", long)
    counting = Counting(choice.reference)
    outcome = outcomes()
    outcome[0] = 0
    write(tmp_path, [first, *batches[1:]], Choice(choice.encoder, counting), outcome, check=10)
    assert max(map(len, counting.texts)) == CHECKED_CHARACTERS
    wrong = Choice(WrongAbout(choice.reference, (" " + "word " * 3000)[:4096]), choice.reference)
    with pytest.raises(EncodersDiffer):
        write(tmp_path / "b", [first, *batches[1:]], wrong, outcome)
