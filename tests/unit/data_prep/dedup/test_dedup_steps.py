"""The stages together decide what an oracle of plain sets and pairs does."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from data_prep.dedup import OUTCOMES, Decisions, decision_keys, decisions, dedup_stages
from data_prep.dedup import dedup_steps as stages
from data_prep.dedup.arrays import load, save
from data_prep.dedup.clusters import Dedup
from data_prep.dedup.dedup_steps import DedupContent, DedupNear, SignatureReader
from data_prep.dedup.shards import DECISION, all_shards
from data_prep.engine import run_stage
from data_prep.ingest import all_parts
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.dedup.corpora import (
    Doc,
    cluster_of,
    edited,
    expected,
    joined,
    make,
    run,
    text_of,
)

NEAR = {"action": "drop"}
KEPT, SAME_ID, SAME_TEXT, NEAR_COPY, HELD = range(5)


def mixed(seed: int, count: int) -> list[Doc]:
    """Every kind of copy, at random: of texts, of ids, of both, and edits of a hundredth."""
    draw = random.Random(seed)
    docs: list[Doc] = []
    for i in range(count):
        kind = draw.choice(["new", "new", "id", "text", "both", "near", "no id", "short"])
        old = draw.choice(docs) if docs else Doc(text_of(seed * 10_000))
        text = {
            "text": old.text,
            "both": old.text,
            "no id": old.text if draw.random() < 0.5 else text_of(seed * 10_000 + i),
            "short": draw.choice(["Read more", "Read more.", "…", "", "Listen live now"]),
        }.get(kind, text_of(seed * 10_000 + i))
        if kind == "near" and len(old.text.split()) > 100:
            text = edited(old.text, 0.01, i)
        own = {"id": old.id, "both": old.id, "no id": None}.get(kind, f"id-{i}")
        docs.append(Doc(text, own))
    return docs


def cut(docs: list[Doc], parts: int) -> list[list[Doc]]:
    size = -(-len(docs) // parts)
    return [docs[i * size : (i + 1) * size] for i in range(parts)]


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_corpora_are_decided_as_by_the_oracle(tmp_path, seed, near):
    docs = mixed(seed, 60)
    found = run(make(tmp_path, cut(docs, 3), near=NEAR if near else {}))
    outcome, cluster, leader = expected(docs, near)
    # Texts that differ in punctuation alone are near; the oracle's words keep theirs.
    plain = [i for i, doc in enumerate(docs) if len(doc.text.split()) > 100]
    got = joined(found)
    assert [got[0][i] for i in plain] == [outcome[i] for i in plain]
    assert [got[1][i] for i in plain] == [cluster[i] for i in plain]
    assert [got[2][i] for i in plain] == [leader[i] for i in plain]
    assert set(got[0]) >= {KEPT, SAME_ID, SAME_TEXT} | ({NEAR_COPY} if near else set())


@pytest.mark.parametrize("parts", [1, 2, 9])
def test_parts_and_partitions_make_no_difference(tmp_path, monkeypatch, parts):
    # Few bands: a task is a folder that is synced to disk.
    near = NEAR | {"bands": 8, "rows": 4}
    docs = mixed(5, 80)
    whole = joined(run(make(tmp_path / "whole", [docs], near=near)))
    monkeypatch.setattr(stages, "PARTITION_ENTRIES", 21)
    config = make(tmp_path / "cut", cut(docs, parts), near=near)
    assert joined(run(config)) == whole
    assert len(DedupContent(config).tasks()) == 4
    assert len(DedupNear(config).tasks()) == 4 * 8


def test_workers_make_no_difference(tmp_path):
    docs = mixed(6, 50)
    alone = make(tmp_path / "alone", cut(docs, 4), near=NEAR)
    beside = make(tmp_path / "beside", cut(docs, 4), near=NEAR)
    beside = beside.model_copy(
        update={"execution": beside.execution.model_copy(update={"workers": 2})}
    )
    assert joined(run(alone)) == joined(run(beside))
    for path in sorted((tmp_path / "alone" / "work").rglob("*.npy")):
        other = tmp_path / "beside" / path.relative_to(tmp_path / "alone")
        assert other.read_bytes() == path.read_bytes()


def test_one_document_is_kept_and_leads_itself(tmp_path):
    doc = Doc("Only one.", "a")
    (found,) = run(make(tmp_path, [[doc]], near=NEAR))
    assert joined([found]) == ([KEPT], [cluster_of(doc)], [0])


def test_an_empty_part_between_others_changes_nothing(tmp_path):
    docs = mixed(7, 30)
    parts = [docs[:10], [], docs[10:], []]
    found = run(make(tmp_path / "holes", parts, near=NEAR))
    assert [len(part.outcome) for part in found] == [10, 0, 20, 0]
    assert joined(found) == joined(run(make(tmp_path / "whole", [docs], near=NEAR)))


def test_of_documents_that_are_all_equal_the_first_is_kept(tmp_path):
    docs = [Doc(text_of(1), f"id-{i}") for i in range(100)]
    found = joined(run(make(tmp_path, cut(docs, 4), near=NEAR)))
    assert found == ([KEPT] + [SAME_TEXT] * 99, [cluster_of(docs[0])] * 100, [0] * 100)


def test_a_text_whose_first_document_goes_for_its_id_is_kept_at_its_second(tmp_path):
    docs = [Doc(text_of(1), "a"), Doc(text_of(2), "a"), Doc(text_of(2), "b"), Doc(text_of(2), "c")]
    outcome, _, leader = joined(run(make(tmp_path, [docs], near=NEAR)))
    assert outcome == [KEPT, SAME_ID, KEPT, SAME_TEXT]
    assert leader == [0, 0, 2, 2]


def test_a_document_dropped_for_its_id_takes_no_near_duplicate_with_it(tmp_path):
    docs = [Doc(text_of(1), "a"), Doc(text_of(2), "a"), Doc(edited(text_of(2), 0.01, 1), "b")]
    assert joined(run(make(tmp_path, [docs], near=NEAR)))[0] == [KEPT, SAME_ID, KEPT]


def test_equal_texts_without_ids_are_copies_of_text_not_of_id(tmp_path):
    docs = [Doc(text_of(1)), Doc(text_of(1)), Doc(text_of(2))]
    assert joined(run(make(tmp_path, [docs])))[0] == [KEPT, SAME_TEXT, KEPT]


def test_hashes_equal_in_64_bits_alone_are_two_contents(tmp_path, monkeypatch):
    docs = [Doc(text_of(1), "a"), Doc(text_of(2), "b")]
    halves = {docs[0].text: b"\1" * 8 + b"\2" * 8, docs[1].text: b"\1" * 8 + b"\3" * 8}
    monkeypatch.setattr(Doc, "hash", property(lambda self: halves[self.text]))
    assert joined(run(make(tmp_path, [docs])))[0] == [KEPT, KEPT]


def test_a_chain_is_one_cluster_led_by_its_first(tmp_path):
    chain = [text_of(1)]
    for i in range(6):
        chain.append(edited(chain[-1], 0.01, i))
    draw = random.Random(1)
    order = list(range(7))
    draw.shuffle(order)
    docs = [Doc(chain[i], f"id-{i}") for i in order]
    outcome, cluster, leader = joined(run(make(tmp_path, cut(docs, 3), near=NEAR)))
    assert outcome == [KEPT] + [NEAR_COPY] * 6
    assert cluster == [cluster_of(docs[0])] * 7 and leader == [0] * 7


def test_keep_keeps_near_duplicates_with_their_cluster_and_drops_exact_copies(tmp_path):
    base = text_of(1)
    docs = [Doc(base, "a"), Doc(edited(base, 0.01, 1), "b"), Doc(base, "c"), Doc(text_of(2), "d")]
    outcome, cluster, leader = joined(run(make(tmp_path, [docs], near={"action": "keep"})))
    assert outcome == [KEPT, KEPT, SAME_TEXT, KEPT]
    assert cluster == [cluster_of(docs[i]) for i in (0, 0, 0, 3)] and leader == [0, 0, 0, 3]


def test_without_near_duplicates_every_kept_document_is_its_own_cluster(tmp_path):
    docs = [Doc(text_of(1), "a"), Doc(edited(text_of(1), 0.01, 1), "b")]
    config = make(tmp_path, [docs])
    assert joined(run(config)) == ([0, 0], [cluster_of(doc) for doc in docs], [0, 1])
    assert not (tmp_path / "work" / "fingerprint" / "00000-00000" / "signature.npy").exists()


def test_texts_without_words_are_no_near_duplicates(tmp_path):
    docs = [Doc("...", "a"), Doc("!!", "b"), Doc("—", "c")]
    assert joined(run(make(tmp_path, [docs], near=NEAR)))[0] == [KEPT] * 3


def test_the_receipt_counts_outcomes_and_clusters(tmp_path):
    base = text_of(1)
    docs = [Doc(base, "a"), Doc(base, "b"), Doc(edited(base, 0.01, 1), "c"), Doc(text_of(2), "a"),
            Doc(text_of(3), "d")]  # fmt: skip
    config = make(tmp_path, cut(docs, 2), near=NEAR)
    run(config)
    (receipt,) = Dedup(config).receipts()
    assert receipt.counts["outcomes"] == {
        "kept": 2, "duplicate_id": 1, "duplicate_content": 1, "near_duplicate": 1,
        "held_by_earlier_run": 0,
    }  # fmt: skip
    assert list(receipt.counts["outcomes"]) == list(OUTCOMES)
    assert receipt.counts["clusters"] == 1 and receipt.counts["documents_in_clusters"] == 4
    assert receipt.counts["largest_clusters"] == [4]


def test_the_key_of_a_part_changes_only_with_its_decisions(tmp_path):
    docs = [Doc(text_of(i), f"id-{i}") for i in range(4)]
    config = make(tmp_path, [docs[:2], docs[2:]], near=NEAR)
    run(config)
    before = decision_keys(config)
    make(tmp_path, [docs[:2], docs[2:], [Doc(text_of(9), "id-0")]], near=NEAR)
    run(config)
    after = decision_keys(config)
    assert after[:2] == before and len(set(after)) == 3


def test_a_second_run_does_nothing_and_a_lost_task_is_done_again_with_equal_bytes(
    tmp_path, monkeypatch
):
    config = make(tmp_path, cut(mixed(8, 30), 2), near=NEAR)
    run(config)
    work = tmp_path / "work"
    before = {path: path.read_bytes() for path in work.rglob("*.npy")}
    for name in ("fingerprint", "dedup_content", "dedup_near", "dedup"):
        sorted((work / name).iterdir())[0].joinpath("receipt.json").unlink()
    done = []
    for stage_type in dedup_stages():
        original = vars(stage_type).get("run")
        if original is None:
            continue

        def counted(self, task, folder, progress, original=original):
            done.append(self.name)
            return original(self, task, folder, progress)

        monkeypatch.setattr(stage_type, "run", counted)
    run(config)
    assert sorted(done) == ["dedup", "dedup_content", "dedup_near", "fingerprint"]
    assert {path: path.read_bytes() for path in work.rglob("*.npy")} == before


def test_a_part_that_changed_its_length_since_is_an_error_that_names_it(tmp_path):
    docs = [Doc(text_of(i), f"id-{i}") for i in range(3)]
    config = make(tmp_path, [docs])
    run(config)
    make(tmp_path, [docs[:2]])
    with pytest.raises(UserError, match="00000-00000, which has 2: run geo-nemo prep run again"):
        decisions(config, all_parts(config)[0])


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    config = make(tmp_path, [[Doc("a b c", "a")]])
    run(config)
    path = Path(config.output) / "work" / "dedup" / "all" / "00000-00000.npy"
    path.write_bytes(b"no array")
    with pytest.raises(UserError, match=r"00000-00000\.npy is missing or damaged"):
        decisions(config, all_parts(config)[0])


def test_arrays_of_all_parts_are_open_at_once_without_a_descriptor(tmp_path):
    """Most systems let a process have 1,024 of them, and a corpus has thousands of parts."""
    config = make(tmp_path, [[Doc(text_of(i)), Doc(text_of(i + 50))] for i in range(40)], near=NEAR)
    found = joined(run(config))[0]
    assert found == [KEPT] * 80
    shards = all_shards(config)
    before = len(os.listdir("/proc/self/fd"))
    reader = SignatureReader(shards)
    signatures = reader(np.arange(80))
    held = [(shard.ids(), shard.content(), shard.band(3)) for shard in shards]
    assert len(os.listdir("/proc/self/fd")) <= before  # garbage may be collected meanwhile
    assert signatures.shape == (80, 26 * 7) and len(held) == 40


def test_what_is_written_is_read_as_it_was(tmp_path):
    for n, array in enumerate((
        np.arange(6, dtype=np.uint64).reshape(3, 2), np.empty((0, 2), np.int64), np.array([True]),
        np.array([(1, 2, 3)], DECISION), np.arange(4, dtype=np.uint16)[::-1],
    )):  # fmt: skip
        save(tmp_path / f"{n}.npy", array)
        read = load(tmp_path / f"{n}.npy")
        assert (read.dtype, read.tolist()) == (array.dtype, array.tolist())
        assert not read.flags.writeable
    whole = (tmp_path / "0.npy").read_bytes()
    for size in (0, 5, 40, len(whole) - 1):
        (tmp_path / "0.npy").write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"0\.npy is missing or damaged"):
            load(tmp_path / "0.npy")


def test_decisions_are_arrays_of_the_types_that_later_stages_expect(tmp_path):
    config = make(tmp_path, [[Doc("a b c", "a"), Doc("d e f", "b")]])
    (found,) = run(config)
    assert isinstance(found, Decisions)
    assert found.outcome.dtype == np.uint8 and found.outcome.shape == (2,)
    assert found.cluster.dtype == np.uint64 and found.leader.dtype == np.int64


def test_stages_have_no_tasks_for_near_duplicates_where_none_are_looked_for(tmp_path):
    config = make(tmp_path, [[Doc("a b c", "a")]])
    assert DedupNear(config).tasks() == []
    assert run_stage(DedupNear(config)) == []
