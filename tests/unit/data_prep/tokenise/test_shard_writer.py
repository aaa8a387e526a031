"""Shards: any documents come back from the store, columns are narrow, paths cost little."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.tokenise.codes import narrow
from data_prep.tokenise.first_words import Beginnings
from data_prep.tokenise.path_column import LEARN_FROM
from data_prep.tokenise.shard_writer import Columns, ShardWriter, Tokens
from data_prep.tokenise.store_writer import StoreDocument, StoreWriter, flat_tokens
from geo_nemo.metadata.seams import STARTS_WORD, piece_kinds
from geo_nemo.store import TokenStore
from geo_nemo.store.paths import BLOCK, split_scheme, with_scheme
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data_prep.tokenise.worlds import write_sentencepiece

CONTINENTS = {"gb": "Europe", "ke": "Africa"}
PATHS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
DOCUMENTS = st.builds(
    StoreDocument,
    host=st.sampled_from(["bbc.co.uk", "nation.africa", "[2001:db8::1]", "xn--e1afmkfd.xn--p1ai"]),
    country=st.sampled_from(sorted(CONTINENTS)),
    path=st.just("") | PATHS.map("/{}".format) | PATHS.map("?{}".format),
    content_hash=st.integers(0, 2**64 - 1),
    year=st.integers(0, 3000),
    quality=st.integers(0, 100),
    source=st.sampled_from(["now", "web", "cc news"]),
    cluster=st.none() | st.integers(0, 2**64 - 1),
    scheme=st.sampled_from(["http", "https"]),
)
IDS = st.lists(st.integers(4, 419), max_size=6)


@pytest.fixture(scope="module")
def tokenizer_path(tmp_path_factory):
    return write_sentencepiece(tmp_path_factory.mktemp("t") / "spm.model")


@settings(max_examples=60)
@given(
    documents=st.lists(st.tuples(DOCUMENTS, IDS, IDS), min_size=1, max_size=50),
    shard_documents=st.sampled_from([3, 16, 17, 1000]),
    batch=st.sampled_from([1, 7, 50]),
)
def test_what_was_written_is_read(
    tmp_path_factory, tokenizer_path, documents, shard_documents, batch
):
    root = tmp_path_factory.mktemp("store")
    writer = StoreWriter(
        root, load_tokenizer(tokenizer_path), tokenizer_path, list(CONTINENTS), CONTINENTS,
        shard_documents,
    )  # fmt: skip
    for start in range(0, len(documents), batch):
        writer.add("test", *zip(*documents[start : start + batch], strict=True))
    writer.finish({}, [])
    store = TokenStore.open(root, check_hashes=True)
    split = store.split("test")
    assert len(split) == len(documents)
    for i, (document, title, body) in enumerate(documents):
        record = split.record(i)
        assert (split.title(i).tolist(), split.body(i).tolist()) == (title, body)
        assert (record.host, record.country) == (document.host, document.country)
        assert (record.path, record.scheme) == (document.path, document.scheme)
        assert split.hosts[split.host[i]] == document.host
        assert split.countries[split.country[i]] == document.country
        assert split.continents[split.continent[i]] == CONTINENTS[document.country]
        assert split.sources[split.source[i]] == document.source
        assert (split.year[i], split.quality[i]) == (document.year, document.quality)
        own = document.content_hash
        assert split.content_hash[i] == own
        assert split.cluster[i] == (own if document.cluster is None else document.cluster)


@given(scheme=st.sampled_from(["http", "https"]), path=PATHS.map("/{}".format))
def test_a_path_goes_with_its_scheme(scheme, path):
    assert split_scheme(with_scheme(scheme, path)) == (scheme, path)


@pytest.mark.parametrize("path", ["news", "http:/x", "/a\nb"])
def test_what_is_no_normalised_path_is_refused(path):
    with pytest.raises(ValueError, match="is no normalised path"):
        with_scheme("https", path)


def columns(number: int, paths: list[str] | None = None) -> Columns:
    one = np.arange(number, dtype=np.uint64)
    tokens = Tokens(np.zeros(number, np.uint32), np.ones(number, np.int64))
    return Columns(
        titles=tokens, bodies=tokens, country=["gb"] * number, host=["a.uk"] * number,
        source=["now"] * number, path=paths or ["/"] * number, year=one % 3000,
        quality=one % 101, content_hash=one, cluster=one,
    )  # fmt: skip


def test_columns_are_as_narrow_as_their_values(tmp_path):
    writer = ShardWriter(tmp_path / "s", "uint32")
    writer.add(columns(300))
    entry = writer.close("s").entry
    sizes = {name: file.bytes for name, file in entry.files.items()}
    assert sizes["title_end.bin"] == sizes["body_end.bin"] == 4 * 300
    assert sizes["country.bin"] == sizes["source.bin"] == sizes["host.bin"] == 300
    assert (sizes["year.bin"], sizes["quality.bin"], sizes["hash.bin"]) == (600, 300, 2400)
    assert sizes["cluster.bin"] == sizes["cluster_at.bin"] == 0
    # Alike paths cost next to nothing: 19 blocks, and where each ends.
    assert sizes["path_end.bin"] == 4 * 19
    assert sizes["path.bin"] < 19 * 20


def test_ends_over_4_gib_are_in_8_bytes():
    assert narrow(np.array([1, 2**32 - 1], np.uint64)).dtype == np.uint32
    wide = narrow(np.array([1, 2**32], np.uint64))
    assert (wide.dtype, wide.tolist()) == (np.uint64, [1, 2**32])
    assert narrow(np.empty(0, np.uint64)).dtype == np.uint32


def test_more_than_256_hosts_take_two_bytes_each(tmp_path):
    writer = ShardWriter(tmp_path / "s", "uint32")
    several = columns(257)
    writer.add(Columns(**{**vars(several), "host": [f"{n}.uk" for n in range(257)]}))
    shard = writer.close("s")
    assert shard.entry.files["host.bin"].dtype == "uint16"
    assert shard.hosts == [f"{n}.uk" for n in range(257)]


@pytest.mark.parametrize("number", [1, BLOCK, BLOCK + 1, LEARN_FROM - 1, LEARN_FROM, 9001])
@pytest.mark.parametrize("batch", [1000, 20_000])
def test_paths_come_back_whether_a_dictionary_was_learned_or_not(tmp_path, number, batch):
    rng = np.random.default_rng(number)
    subjects = ["council", "harbour", "election", "festival", "minister", "drought"]
    paths = [
        f"/{2010 + n % 14}/news/{'-'.join(rng.choice(subjects, 5))}-{rng.integers(10**6)}"
        for n in range(number)
    ]
    writer = ShardWriter(tmp_path / "s", "uint16")
    for start in range(0, number, batch):
        part = paths[start : start + batch]
        writer.add(columns(len(part), part))
    entry = writer.close("s").entry
    read = [
        np.fromfile(tmp_path / "s" / name, entry.files[name].dtype)
        for name in ("path.bin", "path_end.bin", "path_dict.bin")
    ]
    from geo_nemo.store.paths import PathBlocks

    found = PathBlocks(*read)
    assert [found[i] for i in range(number)] == paths
    assert (len(read[2]) > 0) == (number >= LEARN_FROM - 1)
    if number == 9001:
        assert len(read[0]) + len(read[2]) < sum(map(len, paths)) * 0.6


def test_a_shard_does_not_depend_on_how_its_documents_came(tmp_path, tokenizer_path):
    several = columns(9001, [f"/{n}/story-of-{n * 7919 % 1000}" for n in range(9001)])
    tokenizer = load_tokenizer(tokenizer_path)
    kinds = piece_kinds(tokenizer)
    words = [token for token in range(tokenizer.vocab_size) if kinds[token] == STARTS_WORD]
    ids = [[words[n * n % len(words)], words[n % 2]] for n in range(9001)]
    several = replace(several, titles=flat_tokens(ids, "uint16"))
    several = replace(several, bodies=flat_tokens(ids[::-1], "uint16"))
    entries = []
    for number, batch in enumerate((9001, 1024, 777)):
        writer = ShardWriter(tmp_path / str(number), "uint16", Beginnings(tokenizer))
        for start in range(0, 9001, batch):
            writer.add(several[start : start + batch])
        entries.append(writer.close("s").entry)
    assert entries[0] == entries[1] == entries[2]
    assert entries[0].files["start_size.bin"].bytes > 4


def test_a_country_that_the_store_does_not_have_is_refused(tmp_path, tokenizer_path):
    writer = StoreWriter(
        tmp_path, load_tokenizer(tokenizer_path), tokenizer_path, ["gb"], CONTINENTS, 10
    )
    with pytest.raises(ValueError, match="'ke'"):
        writer.add("train", [StoreDocument("a.ke", "ke", "/", 1)], [[]], [[]])
