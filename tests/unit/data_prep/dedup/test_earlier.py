"""What an earlier run holds is a copy here: by id, by text and nearly."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.dedup.clusters import Dedup
from data_prep.dedup.dedup_steps import DedupNear
from data_prep.dedup.fingerprint import Fingerprint
from data_prep.engine import run_stage
from data_prep.parts import SCHEMA
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.dedup.corpora import (
    Doc,
    cluster_of,
    edited,
    joined,
    make,
    row,
    run,
    text_of,
)
from tests.unit.data_prep.dedup.test_dedup_steps import (
    HELD,
    KEPT,
    NEAR,
    NEAR_COPY,
    SAME_ID,
    SAME_TEXT,
    mixed,
)

BASE = text_of(1)
NEAR_BASE = edited(BASE, 0.01, 1)


def write_corpus(output, docs: list[Doc], clusters: list[int]) -> None:
    """A corpus as the corpus stage writes it; the run's work is gone."""
    shutil.rmtree(output / "work")
    (output / "corpus").mkdir()
    table = pa.Table.from_pylist([row(doc) for doc in docs], SCHEMA)
    table = table.append_column("cluster", pa.array(clusters, pa.uint64()))
    half = len(docs) // 2
    pq.write_table(table.slice(0, half), output / "corpus" / "test-00000-00000.parquet")
    pq.write_table(table.slice(half), output / "corpus" / "train-00000-00000.parquet")


@pytest.mark.parametrize("kept_work", [True, False])
@pytest.mark.parametrize("near", ["drop", "keep", "none"])
def test_ids_texts_and_near_duplicates_of_an_earlier_run_are_held_by_it(tmp_path, near, kept_work):
    old = [Doc(text_of(9), "old-9"), Doc(BASE, "old")]
    run(make(tmp_path / "old", [old], near={"action": near}))
    if not kept_work:
        write_corpus(tmp_path / "old", old, [cluster_of(doc) for doc in old])
    new = [Doc(text_of(2), "old"), Doc(BASE, "b"), Doc(NEAR_BASE, "c"), Doc(text_of(3), "d")]
    config = make(tmp_path / "new", [new[:2], new[2:]], near={"action": near},
                  against=[str(tmp_path / "old")])  # fmt: skip
    outcome, cluster, leader = joined(run(config))
    assert outcome == [HELD, HELD, HELD if near == "drop" else KEPT, KEPT]
    assert cluster[:2] == [cluster_of(old[1])] * 2 and leader[:2] == [-1, -1]
    assert cluster[2] == cluster_of(new[2] if near == "none" else old[1])
    assert leader[2] == (-1 if near == "drop" else 2)
    assert (cluster[3], leader[3]) == (cluster_of(new[3]), 3)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_two_runs_one_after_the_other_keep_what_one_run_of_both_does(tmp_path, seed):
    docs = mixed(seed, 60)
    whole = joined(run(make(tmp_path / "whole", [docs], near=NEAR)))
    first = joined(run(make(tmp_path / "first", [docs[:25]], near=NEAR)))
    second = run(make(tmp_path / "second", [docs[25:40], docs[40:]], near=NEAR,
                      against=[str(tmp_path / "first")]))  # fmt: skip
    outcome, cluster, leader = joined(second)
    assert first[0] == whole[0][:25]
    for i, (now, then, lead) in enumerate(zip(outcome, whole[0][25:], whole[2][25:], strict=True)):
        assert (now == KEPT) == (then == KEPT)
        # A copy of a copy in this run, of a document there, keeps its reason.
        assert now == then or (now == HELD and lead < 25)
        assert now == HELD or lead >= 25 or then in (SAME_ID, SAME_TEXT)
        assert cluster[i] == whole[1][25 + i]
        assert leader[i] == (lead - 25 if lead >= 25 else -1)


def test_what_an_earlier_run_dropped_for_its_id_is_free_here(tmp_path):
    run(make(tmp_path / "old", [[Doc(text_of(9), "a"), Doc(BASE, "a")]], near=NEAR))
    config = make(tmp_path / "new", [[Doc(BASE, "b"), Doc(NEAR_BASE, "c")]], near=NEAR,
                  against=[str(tmp_path / "old")])  # fmt: skip
    assert joined(run(config))[0] == [KEPT, NEAR_COPY]


def test_a_near_duplicate_that_an_earlier_run_dropped_still_links_to_its_cluster(tmp_path):
    chain = [text_of(4)]
    for i in range(25):
        chain.append(edited(chain[-1], 0.01, 100 + i))
    run(make(tmp_path / "old", [[Doc(t, f"o{i}") for i, t in enumerate(chain[:-1])]], near=NEAR))
    config = make(tmp_path / "new", [[Doc(chain[-1], "n")]], near=NEAR,
                  against=[str(tmp_path / "old")])  # fmt: skip
    outcome, cluster, _ = joined(run(config))
    assert outcome == [HELD] and cluster == [cluster_of(Doc(chain[0]))]


def test_kept_near_duplicates_of_one_earlier_cluster_share_it_and_their_first_here(tmp_path):
    run(make(tmp_path / "old", [[Doc(BASE, "o")]], near={"action": "keep"}))
    new = [Doc(text_of(5), "x"), Doc(BASE, "copy"), Doc(NEAR_BASE, "a"),
           Doc(edited(BASE, 0.01, 2), "b")]  # fmt: skip
    config = make(tmp_path / "new", [new[:3], new[3:]], near={"action": "keep"},
                  against=[str(tmp_path / "old")])  # fmt: skip
    outcome, cluster, leader = joined(run(config))
    assert outcome == [KEPT, HELD, KEPT, KEPT]
    assert cluster[1:] == [cluster_of(Doc(BASE))] * 3
    assert leader == [0, -1, 2, 2]


def test_several_earlier_runs_come_in_the_order_of_their_names(tmp_path):
    run(make(tmp_path / "one", [[Doc(edited(BASE, 0.01, 7), "1")]], near=NEAR))
    run(make(tmp_path / "two", [[Doc(BASE, "2")]], near=NEAR))
    for names in (["one", "two"], ["two", "one"]):
        config = make(tmp_path / "-".join(names), [[Doc(NEAR_BASE, "n")]], near=NEAR,
                      against=[str(tmp_path / name) for name in names])  # fmt: skip
        first = edited(BASE, 0.01, 7) if names[0] == "one" else BASE
        assert joined(run(config))[:2] == ([HELD], [cluster_of(Doc(first))])


def test_an_earlier_run_that_grows_makes_the_tasks_that_depend_on_it_new(tmp_path):
    old = make(tmp_path / "old", [[Doc(BASE, "o")]], near=NEAR)
    run(old)
    config = make(tmp_path / "new", [[Doc(text_of(2), "n")]], near=NEAR,
                  against=[str(tmp_path / "old")])  # fmt: skip
    assert joined(run(config))[0] == [KEPT]
    prints, edges, whole = (
        stage(config).tasks()[0].key for stage in (Fingerprint, DedupNear, Dedup)
    )
    make(tmp_path / "old", [[Doc(BASE, "o"), Doc(text_of(2), "o2")]], near=NEAR)
    run(old)
    assert Fingerprint(config).tasks()[0].key == prints
    assert DedupNear(config).tasks()[0].key != edges
    assert Dedup(config).tasks()[0].key != whole
    assert joined(run(config))[0] == [HELD]


def test_an_earlier_run_that_was_stopped_midway_is_not_half_taken(tmp_path):
    """Its decisions are of the documents before; of its corpus, all is."""
    old = [Doc(text_of(1), "1"), Doc(text_of(2), "2")]
    run(make(tmp_path / "old", [old], near=NEAR))
    shutil.copytree(tmp_path / "old", tmp_path / "whole")
    write_corpus(tmp_path / "whole", old, [cluster_of(doc) for doc in old])
    shutil.copytree(tmp_path / "whole" / "corpus", tmp_path / "old" / "corpus")
    # The input changes, and the run is stopped when all parts have their fingerprints anew.
    grown = make(tmp_path / "old", [[Doc(text_of(i), str(i)) for i in (3, 4, 5)]], near=NEAR)
    run_stage(Fingerprint(grown))
    new = [Doc(text_of(i), f"n{i}") for i in (1, 3, 5)]
    config = make(tmp_path / "new", [new], near=NEAR, against=[str(tmp_path / "old")])
    assert joined(run(config))[0] == [HELD, KEPT, KEPT]
    # Now with other settings alone, so that its parts are as they were.
    run(grown)
    other = make(tmp_path / "old", [[Doc(text_of(i), str(i)) for i in (3, 4, 5)]],
                 near={"action": "drop", "bands": 10, "rows": 5})  # fmt: skip
    run_stage(Fingerprint(other))
    with pytest.raises(UserError) as error:
        run(config)
    assert str(error.value) == (
        f"dedup.against={tmp_path / 'old'}: a run into it did not end: run that command again, "
        "then this one"
    )
    run(grown)
    assert joined(run(config))[0] == [KEPT, HELD, HELD]


def test_an_earlier_run_of_other_settings_is_read_again_from_its_corpus(tmp_path):
    other = {"action": "drop", "bands": 10, "rows": 5}
    old = [Doc(BASE, "o")]
    run(make(tmp_path / "old", [old], near=other))
    config = make(tmp_path / "new", [[Doc(NEAR_BASE, "n")]], near=NEAR,
                  against=[str(tmp_path / "old")])  # fmt: skip
    with pytest.raises(UserError, match=r"fingerprints of other settings .*10 bands of 5 rows"):
        run(config)
    write_corpus(tmp_path / "old", old, [cluster_of(old[0])])
    assert joined(run(config))[0] == [HELD]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["absent"], "is no folder"),
        (["empty"], "has no work and no corpus in Parquet"),
        (["new"], "is this run's output, or named twice"),
        (["old", "old"], "is this run's output, or named twice"),
    ],
)
def test_an_earlier_run_that_cannot_be_read_is_an_error(tmp_path, names, message):
    run(make(tmp_path / "old", [[Doc(BASE, "o")]], near=NEAR))
    (tmp_path / "empty").mkdir()
    config = make(tmp_path / "new", [[Doc("a", "a")]], near=NEAR,
                  against=[str(tmp_path / name) for name in names])  # fmt: skip
    with pytest.raises(UserError, match=message):
        run(config)
