"""A run's stages on a real store: shared indices, documents of their own, and an exact ledger."""

import os
import resource
import signal
from collections import Counter, defaultdict
from multiprocessing import active_children

import numpy as np
import pytest

from geo_nemo.config import Data, MetadataPolicy, Run, Sampling, Select, Stage, Train, UserError
from geo_nemo.data.batches import BatchStream, sequences_of
from geo_nemo.data.outline import outline_stages
from geo_nemo.data.parts import index_places
from geo_nemo.data.stage import build_stage_index
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import prepare
from tests.support.tiny import NO_METADATA, tiny_run

SAMPLINGS = {
    "as they are": Sampling(),
    "temperature": Sampling(temperature=3),
    "by continent": Sampling(by="continent", temperature=2),
    "unimax": Sampling(unimax_epochs=12),
}


def run_of(store, output, sampling=None, *, steps=240, select=None, **data) -> Run:
    """Two stages of several epochs each."""
    settings = {"seq_length": 128, "packing_window": 64, **data}
    drawn = {"select": select or Select(), "sampling": sampling or Sampling()}
    return tiny_run(
        store,
        output,
        data=Data(store=str(store), **settings),
        stages={
            "condition": Stage(fraction=0.75, metadata=MetadataPolicy(dropout=0.2), **drawn),
            "cooldown": Stage(fraction=0.25, metadata=NO_METADATA, **drawn),
        },
        train=Train(steps=steps, global_batch_size=8, micro_batch_size=1, warmup_steps=2),
    )


def files_of(run, store):
    place = index_places(run, store.hash, store.split("train"), "condition")[0].path
    return {path.name: path.read_bytes() for path in place.iterdir()}


@pytest.mark.parametrize("name", ["as they are", "temperature"])
def test_workers_build_the_same_bytes(tiny_store, tmp_path, name):
    store = TokenStore.open(tiny_store)
    built = []
    for workers in (0, 2):
        output = tmp_path / str(workers)
        run = run_of(tiny_store, output, SAMPLINGS[name], index_workers=workers)
        split, tokenizer = store.split("train"), store.tokenizer()
        assert build_stage_index(run, store.hash, split, tokenizer, "condition")[1]
        built.append(files_of(run, store))
    assert built[0] == built[1]
    assert set(built[0]) == {
        "fragments.bin",
        "index.json",
        "ledger.bin",
        "rows.bin",
        "shown.bin",
        "windows.bin",
    }


def test_a_signal_to_all_processes_of_a_job_ends_no_worker(tiny_store, tmp_path):
    """As SLURM sends SIGUSR1 before its time limit: what it means is the parent's to decide."""
    store = TokenStore.open(tiny_store)
    run = run_of(tiny_store, tmp_path, index_workers=1)
    told = []

    def progress(name, done, total, note=""):
        if name == "index condition" and done and not told:  # the worker is at work
            told.extend(active_children())
            for child in told:
                os.kill(child.pid, signal.SIGUSR1)
                os.kill(child.pid, signal.SIGINT)

    split, tokenizer = store.split("train"), store.tokenizer()
    assert build_stage_index(run, store.hash, split, tokenizer, "condition", progress)[1]
    assert len(told) == 1


def test_a_mistake_that_a_worker_finds_is_the_users(tiny_store, tmp_path):
    store = TokenStore.open(tiny_store)
    run = run_of(tiny_store, tmp_path, seq_length=16, index_workers=1)
    with pytest.raises(UserError, match="leave no room for text at seq_length 16"):
        build_stage_index(run, store.hash, store.split("train"), store.tokenizer(), "condition")
    assert [path.suffix for path in (tmp_path / "index").iterdir()] == [".lock"]


def test_a_disk_that_is_full_where_documents_are_listed_gives_its_reason(
    tiny_store, tmp_path, monkeypatch
):
    begun = []
    monkeypatch.setattr("geo_nemo.data.stage.build", lambda *given: begun.append(given))
    store = TokenStore.open(tiny_store)
    run = run_of(tiny_store, tmp_path, index_workers=1)
    split, tokenizer = store.split("train"), store.tokenizer()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(UserError, match=r"^cannot write the packing index .*: File too large;"):
            build_stage_index(run, store.hash, split, tokenizer, "condition")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not begun


def test_everything_that_decides_the_sequences_is_in_the_key(tiny_store, tmp_path):
    store = TokenStore.open(tiny_store)
    split = store.split("train")

    def key(run, store_hash=store.hash):
        return index_places(run, store_hash, split, "cooldown")[0].path.name

    base = run_of(tiny_store, tmp_path)
    others = [
        key(base, "0" * 16),
        key(run_of(tiny_store, tmp_path, Sampling(temperature=2))),
        key(run_of(tiny_store, tmp_path, select=Select(min_quality=1))),
        key(run_of(tiny_store, tmp_path, steps=244)),
        key(run_of(tiny_store, tmp_path, seq_length=256)),
        key(run_of(tiny_store, tmp_path, packing_window=32)),
        key(run_of(tiny_store, tmp_path, packing="concat")),
        key(run_of(tiny_store, tmp_path, prefix_fragments=False)),
        key(base.model_copy(update={"seed": 8})),
        index_places(base, store.hash, split, "condition")[0].path.name,
    ]
    assert len({key(base), *others}) == len(others) + 1
    elsewhere = run_of(tiny_store, tmp_path / "b", index_workers=3, index_dir=str(tmp_path))
    assert key(elsewhere) == key(base)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_the_cooldown_draws_documents_that_the_first_stage_never_draws(tiny_store, tmp_path, name):
    prepared = prepare(run_of(tiny_store, tmp_path, SAMPLINGS[name]), world_size=1)
    seen = []
    for stage in prepared.stages:
        dataset = prepared.dataset(stage)
        drawn = Counter(
            fragment.document
            for sample in range(len(dataset))
            for fragment in dataset.fragments(sample)
            if fragment.start == 0
        )
        assert max(drawn.values()) > 1  # more than an epoch, so that anything it has would show
        hashes = dataset.split.content_hash[list(drawn)]
        seen.append(set(map(int, hashes)))
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("dp_size", [1, 2, 8])
def test_the_ledger_is_what_all_ranks_have_read(tiny_store, tmp_path, name, dp_size):
    """Counted from the batches of every rank, against the index; in the middle of both stages."""
    run = run_of(tiny_store, tmp_path, SAMPLINGS[name], steps=40)
    prepared = prepare(run, world_size=dp_size)
    stop = 33
    expected = {}
    for stage in prepared.stages:
        counted = defaultdict(lambda: [0, 0, 0, 0])
        dataset = prepared.dataset(stage)
        for rank in range(dp_size):
            stream = BatchStream(dataset, 8, 1, rank, dp_size, prefetch=0)
            for step, batches in zip(range(stage.first_step, stop), stream, strict=False):
                assert step < stage.last_step
                for batch in batches:
                    count(counted, batch, prepared.store.countries)
        expected[stage.name] = dict(counted)
    found = {
        stage: {country: list(sums.values()) for country, sums in by_country.items()}
        for stage, by_country in trained(prepared, stop).items()
    }
    assert found == expected


def trained(prepared, step):
    """What a run without bad steps has trained on, by stage and country."""
    stages = Ledger(prepared).at(step)["stages"]
    return {name: entry["trained"]["by_country"] for name, entry in stages.items()}


def count(counted, batch, countries):
    """Add a batch: documents by their title, positions by country, text and metadata by kind."""
    for sequence in sequences_of(batch):
        for position in np.flatnonzero(sequence.group_ids >= 0):
            sums = counted[countries[sequence.group_ids[position]]]
            sums[1] += 1
            sums[2] += sequence.label_kinds[position] in (Kind.TITLE, Kind.BODY)
            sums[3] += sequence.label_kinds[position] == Kind.METADATA
        titles = sequence.label_kinds == Kind.TITLE
        for segment in set(sequence.segment_ids[titles].tolist()):
            place = int(np.flatnonzero(sequence.segment_ids == segment)[0])
            # Every document of this store has a title, on its first fragment and no other.
            counted[countries[sequence.group_ids[place]]][0] += 1


def test_the_ledger_starts_empty_and_ends_with_the_run(tiny_store, tmp_path):
    run = run_of(tiny_store, tmp_path, steps=40)
    prepared = prepare(run, world_size=1)
    assert trained(prepared, 0) == {}
    assert list(trained(prepared, 30)) == ["condition"]
    whole = trained(prepared, 40)
    assert list(whole) == ["condition", "cooldown"]
    for stage in prepared.stages:
        dataset = prepared.dataset(stage)
        assert whole[stage.name] == dataset.ledger(len(dataset))


def digests(run, dp_sizes, borders):
    """sample ids and tokens of each step, where the number of ranks changes at `borders`."""
    prepared = prepare(run, world_size=1)
    steps = []
    for stage in prepared.stages:
        dataset = prepared.dataset(stage)
        for dp_size, first, last in zip(dp_sizes, borders, [*borders[1:], 10**9], strict=True):
            first, last = max(first, stage.first_step), min(last, stage.last_step)
            streams = [
                BatchStream(dataset, 8, 1, rank, dp_size, (first - stage.first_step) * 8)
                for rank in range(dp_size)
            ]
            for _ in range(first, last):
                batches = [batch for stream in streams for batch in next(stream)]
                sequences = sorted((int(b.sample_ids[0]), b.tokens.tobytes()) for b in batches)
                steps.append(sequences)
            for stream in streams:
                stream.close()
    return steps


@pytest.mark.parametrize("name", ["as they are", "temperature"])
def test_the_order_of_samples_is_the_same_when_the_number_of_ranks_changes(
    tiny_store, tmp_path, name
):
    run = run_of(tiny_store, tmp_path, SAMPLINGS[name], steps=24)
    whole = digests(run, [1], [0])
    assert len(whole) == 24
    assert digests(run, [2, 8, 4], [0, 5, 20]) == whole


def test_the_plan_foresees_epochs_and_fractions(tiny_store, tmp_path):
    run = run_of(tiny_store, tmp_path, Sampling(temperature=3))
    prepared = prepare(run, world_size=1)
    outlines = outline_stages(run, prepared.store.split("train"), prepared.tokenizer)
    for stage in prepared.stages:
        outline = outlines[stage.name]
        dataset = prepared.dataset(stage)
        ledger = dataset.ledger(len(dataset))
        text = sum(sums["text_tokens"] for sums in ledger.values())
        assert sum(group.fraction for group in outline.groups) == pytest.approx(1)
        for group in outline.groups:
            drawn = ledger[group.name]
            assert group.epochs == pytest.approx(drawn["documents"] / group.documents, rel=0.12)
            assert group.fraction == pytest.approx(drawn["text_tokens"] / text, rel=0.12)


def test_a_stage_of_one_region_reads_no_other(tiny_store, tmp_path):
    continent = TokenStore.open(tiny_store).continent_of["gb"]
    run = run_of(tiny_store, tmp_path, steps=40, select=Select(exclude_continents=[continent]))
    prepared = prepare(run, world_size=1)
    of = prepared.store.continent_of
    for by_country in trained(prepared, 40).values():
        assert by_country
        assert all(of[country] != continent for country in by_country)


def test_a_loader_holds_no_column_of_the_store(tiny_store, tmp_path):
    """What a process keeps must not grow with the corpus: sequences come from the index alone."""
    run = run_of(tiny_store, tmp_path, steps=40)
    prepare(run, world_size=1).dataset(prepare(run, world_size=1).stages[0])
    prepared = prepare(run, world_size=1)
    dataset = prepared.dataset(prepared.stages[0])
    assert all(sequence.tokens.shape == (128,) for sequence in map(dataset.__getitem__, range(200)))
    assert dataset.ledger(200)
    columns = ("title_lengths", "body_lengths", "country", "host", "continent", "source")
    assert [name for name in columns if name in vars(dataset.split)] == []
