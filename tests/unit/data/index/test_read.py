"""The index on disk: what was planned, or an error; whoever builds it, and how often."""

import fcntl
import json
import multiprocessing
import os
import shutil

import numpy as np
import pytest

from geo_nemo.config import UserError
from geo_nemo.data.groups import Axis, Grouping
from geo_nemo.data.index import cache as index_cache
from geo_nemo.data.index import read as index_module
from geo_nemo.data.index.build import Extent, build
from geo_nemo.data.index.cache import Place, find_or_build, wait_for
from geo_nemo.data.index.read import FILES, NAME, as_entry
from geo_nemo.data.index.write import FileSink, MemorySink
from geo_nemo.metadata.record import Kind
from tests.unit.data.fakes import random_documents
from tests.unit.data.test_dataset import PACKINGS, POLICIES, dataset

SEQUENCES = 90


def planned(packing="best fit", policy="default"):
    return dataset(random_documents(6, 60), POLICIES[policy], samples=SEQUENCES, packing=packing)


def place_of(folder, data, **changes) -> Place:
    made_from = {"seed": data.seed, **changes}
    return Place(folder, "s", made_from, data.planner.dtype, data.planner.num_groups)


def builder(data, description):
    def into(folder):
        sink = FileSink(folder, data.planner.num_groups)
        build(data.planner, Extent(SEQUENCES, None), sink)
        sink.finish(description, data.num_documents)

    return into


def cached(folder, data):
    place = place_of(folder, data)
    return find_or_build(place, builder(data, place.description))


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_index_on_disk_holds_the_sequences_of_one_in_memory(tmp_path, packing):
    data = planned(packing)
    index, built = cached(tmp_path, data)
    assert built
    again, built = cached(tmp_path, data)
    assert not built
    for found in (index, again):
        assert len(found) == len(data.index) >= SEQUENCES
        assert all(found.sequence(i) == data.index.sequence(i) for i in reversed(range(len(found))))
        assert found.counts == data.index.counts
        assert (found.documents, found.num_windows) == (60, data.index.num_windows)


@pytest.mark.parametrize("policy", ["default", "none", "dropout", "append"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_the_ledger_counts_what_the_sequences_hold(tmp_path, packing, policy):
    data = planned(packing, policy)
    index, _ = cached(tmp_path, data)
    countries = data.split.countries
    expected = {country: [0, 0, 0, 0] for country in countries}
    for consumed in range(SEQUENCES + 1):
        table = {c: list(sums.values()) for c, sums in data.ledger(consumed).items()}
        assert table == {c: sums for c, sums in expected.items() if any(sums)}
        assert np.array_equal(index.ledger(consumed), data.index.ledger(consumed))
        if consumed == SEQUENCES:
            break
        sequence = data[consumed]
        for place, fragment in enumerate(data.fragments(consumed)):
            span = slice(sequence.cu_seqlens[place], sequence.cu_seqlens[place + 1])
            country = countries[sequence.group_ids[span.start]]
            text = np.isin(sequence.label_kinds[span], [Kind.TITLE, Kind.BODY])
            begins = fragment.start == 0
            expected[country][0] += int(begins)
            expected[country][1] += span.stop - span.start
            expected[country][2] += int(text.sum())
            expected[country][3] += int(np.sum(sequence.label_kinds[span] == Kind.METADATA))


def test_sums_of_many_groups_are_kept_every_so_many_windows(tmp_path, monkeypatch):
    every = planned()
    expected = [every.index.ledger(sequences) for sequences in range(SEQUENCES + 1)]
    number = every.planner.num_groups
    monkeypatch.setattr(index_module, "_GROUPS_A_WINDOW", 1)
    stride = index_module.ledger_stride(number)
    assert stride == number == 3
    data = planned()
    index, _ = cached(tmp_path, data)
    for sequences in range(SEQUENCES + 1):
        assert np.array_equal(index.ledger(sequences), expected[sequences])
        assert np.array_equal(data.index.ledger(sequences), expected[sequences])
    (size,) = [path.stat().st_size for path in tmp_path.rglob("ledger.bin")]
    assert size == (index.num_windows // stride + 1) * number * 4 * 8


def test_a_ledger_names_countries_and_leaves_out_the_unseen():
    ledger = np.array([[0, 0, 0, 0], [2, 30, 20, 5]])
    groups = Grouping([Axis("country", ("gb", "no"), "country", np.arange(2))])
    sums = {"documents": 2, "positions": 30, "text_tokens": 20, "metadata_tokens": 5}
    assert groups.by(ledger, as_entry) == {"country": {"no": sums}}


def damage(path, how):
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize("name", [NAME, *FILES])
@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "flipped"])
def test_what_is_damaged_is_built_anew(tmp_path, name, how):
    data = planned()
    cached(tmp_path, data)
    path = place_of(tmp_path, data).path
    whole = {file.name: file.read_bytes() for file in path.iterdir()}
    damage(path / name, how)
    index, built = cached(tmp_path, data)
    assert built
    assert {file.name: file.read_bytes() for file in path.iterdir()} == whole
    assert all(index.sequence(i) == data.index.sequence(i) for i in range(SEQUENCES))
    assert {p.name for p in tmp_path.iterdir()} == {path.name, path.name + ".lock"}


@pytest.mark.parametrize(
    "change", ["other settings", "a list", "another format", "no counts", "counts"]
)
def test_what_is_not_this_index_is_built_anew(tmp_path, change):
    data = planned()
    cached(tmp_path, data)
    path = place_of(tmp_path, data).path / NAME
    record = json.loads(path.read_bytes())
    if change == "other settings":
        record["made_from"]["seed"] += 1
    elif change == "another format":
        record["format"] += 1
    elif change == "counts":
        record["counts"]["cut_documents"] += 1
    elif change == "no counts":
        del record["counts"]
    path.write_text(json.dumps([] if change == "a list" else record))
    _, built = cached(tmp_path, data)
    assert built
    assert json.loads(path.read_bytes())["made_from"] == {"seed": 3}


def test_other_settings_have_another_place(tmp_path):
    data = planned()
    assert place_of(tmp_path, data).path != place_of(tmp_path, data, policy="x").path


def test_a_change_under_a_reader_is_an_error_when_the_window_is_read(tmp_path):
    data = planned()
    index, _ = cached(tmp_path, data)
    index.sequence(0)
    path = place_of(tmp_path, data).path / "fragments.bin"
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    with path.open("r+b") as file:  # the mapped file itself
        file.write(content)
    index.sequence(0)
    with pytest.raises(UserError, match=r"was changed after it was made: remove the folder"):
        index.sequence(len(index) - 1)


def test_a_folder_that_cannot_be_written_is_one_line_that_names_the_setting(tmp_path):
    (tmp_path / "index").write_text("in the way")
    with pytest.raises(UserError) as caught:
        cached(tmp_path / "index", planned())
    assert str(caught.value).endswith("give a folder that can be written as data.index_dir")
    assert "\n" not in str(caught.value)


def test_a_build_that_fails_leaves_nothing_that_looks_whole(tmp_path):
    data = planned()
    place = place_of(tmp_path, data)

    def fails(folder):
        FileSink(folder, data.planner.num_groups).close()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_or_build(place, fails)
    assert [path.name for path in tmp_path.iterdir()] == [place.path.name + ".lock"]


def test_what_a_killed_builder_left_is_removed(tmp_path):
    data = planned()
    path = place_of(tmp_path, data).path
    nobody = 2**22 + 1  # above any process id
    left = tmp_path / f"{path.name}.{index_cache.socket.gethostname()}-{nobody}"
    another = tmp_path / f"{path.name}.another-host-{nobody}"
    for folder in (left, another):
        folder.mkdir()
    cached(tmp_path, data)
    assert not left.exists()
    assert another.exists()


def test_where_there_are_no_locks_the_second_builder_takes_what_the_first_has_made(
    tmp_path, monkeypatch
):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    data = planned()
    place = place_of(tmp_path, data)
    honest = builder(data, place.description)

    def slow(folder):
        honest(folder)
        other = folder.with_name("other")
        honest(other)
        other.rename(place.path)  # another job was faster

    index, _ = find_or_build(place, slow)
    assert all(index.sequence(i) == data.index.sequence(i) for i in range(SEQUENCES))
    assert {p.name for p in tmp_path.iterdir()} == {place.path.name, place.path.name + ".lock"}


def _build_in_a_process(folder, start, results):
    data = planned()
    start.wait()
    index, built = cached(folder, data)
    results.put((built, [index.sequence(i) for i in range(SEQUENCES)]))


def test_processes_that_build_at_once_build_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_build_in_a_process, args=(tmp_path, start, results))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(built for built, _ in found) == [False, False, True]
    data = planned()
    assert all(
        sequences == [data.index.sequence(i) for i in range(SEQUENCES)] for _, sequences in found
    )


def test_who_waits_for_another_job_is_heard_meanwhile(tmp_path):
    """Else the watchdog would take it for one that hangs."""
    data = planned()
    place = place_of(tmp_path, data)
    holder = place.path.with_name(f"{place.path.name}.lock").open("a")
    fcntl.flock(holder, fcntl.LOCK_EX)
    told = []

    def heard(*words):
        told.append(words)
        holder.close()

    index, built = find_or_build(place, builder(data, place.description), heard)
    assert built and len(index) >= SEQUENCES
    assert told == [("index s", 0, None, "another job builds it")]


def test_a_rank_that_waits_gets_what_another_builds(tmp_path):
    data = planned()
    place = place_of(tmp_path, data)
    seen = []

    def progress(stage, done, total, note):
        seen.append((stage, note))
        if len(seen) == 2:
            cached(tmp_path, data)

    index = wait_for(place, progress)
    assert seen == [("index s", "another process builds it")] * 2
    assert index.sequence(3) == data.index.sequence(3)


def test_a_torn_index_is_waited_out(tmp_path):
    data = planned()
    place = place_of(tmp_path, data)
    cached(tmp_path, data)
    (place.path / "rows.bin").write_bytes(b"")

    def progress(*_):
        shutil.rmtree(place.path)
        cached(tmp_path, data)

    assert wait_for(place, progress).sequence(3) == data.index.sequence(3)


def test_a_window_of_few_rare_groups_may_add_no_sequence():
    data = planned()
    sink = MemorySink(data.planner.dtype, data.planner.num_groups)
    assert len(sink.finish(0)) == 0
    assert sink.finish(0).ledger(0).tolist() == [[0, 0, 0, 0]] * 3
