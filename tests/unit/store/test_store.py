"""The token store: what was written is read, and damage is named."""

import pickle
import shutil

import numpy as np
import pytest

from geo_nemo.config import UserError
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store import TokenStore
from tests.unit.store.worlds import BODIES, DOCUMENTS, TITLES, write_store


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def damaged(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "store")


def test_documents_come_back_across_shards(pristine):
    split = TokenStore.open(pristine).split("train")
    assert len(split) == 5
    assert [split.title(i).tolist() for i in range(5)] == TITLES
    assert [split.body(i).tolist() for i in range(5)] == BODIES
    for i, (title, body) in enumerate(zip(TITLES, BODIES, strict=True)):
        found = split.pieces(i, len(title), 1, len(body))
        assert [part.tolist() for part in found] == [title, body[1:]]
        assert split.pieces(i, 0, 0, min(1, len(body)))[1].tolist() == body[:1]
    assert split.title_lengths.tolist() == [0, 2, 1, 3, 0]
    assert split.body_lengths.tolist() == [1, 3, 0, 2, 4]
    assert split.body_lengths.dtype == np.int64
    assert split.country.tolist() == [0, 1, 0, 2, 1]
    assert split.host.tolist() == [0, 1, 0, 2, 3]
    assert split.content_hash.tolist() == [d.content_hash for d in DOCUMENTS]


def test_records(pristine):
    store = TokenStore.open(pristine)
    assert store.split("train").record(2) == MetadataRecord(
        host="bbc.co.uk", country="gb", continent="Europe", path="/é?a=1", scheme="http",
        year=2011, quality=100, source="now",
    )  # fmt: skip
    assert store.split("train").record(1).path == ""
    assert store.hosts == ["bbc.co.uk", "nation.africa", "nytimes.com", "the-star.co.ke"]
    assert store.continent_of == {"gb": "Europe", "ke": "Africa", "us": "America"}


def test_columns_of_a_document(pristine):
    split = TokenStore.open(pristine).split("train")
    assert split.year.tolist() == [2024, 0, 2011, 1999, 2024]
    assert split.quality.tolist() == [80, 0, 100, 7, 55]
    assert [split.sources[i] for i in split.source] == ["now", "default", "now", "now", "web"]
    assert [split.continents[i] for i in split.continent] == [
        "Europe", "Africa", "Europe", "America", "Africa",
    ]  # fmt: skip
    assert split.cluster.tolist() == [11, 2**64 - 1, 11, 14, 2**63]
    assert [split.record(i).scheme for i in range(5)] == ["https", "https", "http", "https", "http"]
    dtypes = {
        "country": "uint8", "continent": "uint8", "host": "uint32", "source": "uint8",
        "year": "int16", "quality": "uint8", "cluster": "uint64", "content_hash": "uint64",
    }  # fmt: skip
    assert {name: getattr(split, name).dtype.name for name in dtypes} == dtypes


def test_a_shard_is_the_same_file_by_file_beside_any_others(tmp_path, pristine):
    """Country, source and host are numbered within it; only its host map tells its place."""
    other = write_store(tmp_path, others_first=True)
    names = {path.name for path in (pristine / "train/00002").iterdir()} - {"host_map.bin"}
    assert len(names) == 19
    for name in names:
        assert (other / "train/00003" / name).read_bytes() == (
            pristine / "train/00002" / name
        ).read_bytes()
    split, moved = TokenStore.open(pristine).split("train"), TokenStore.open(other).split("train")
    assert moved.countries == ("dz", "gb", "ke", "us")
    assert moved.record(6) == split.record(4)
    assert moved.host[6] != split.host[4]
    assert moved.country[6] != split.country[4]


def test_a_split_can_be_sent_to_another_process_after_it_was_read(pristine):
    split = TokenStore.open(pristine).split("train")
    expected = split.record(2), split.body(1).tolist(), split.country.tolist()
    sent = pickle.loads(pickle.dumps(split))
    assert (sent.record(2), sent.body(1).tolist(), sent.country.tolist()) == expected


def test_bodies_are_views_of_the_map_and_cannot_be_written(pristine):
    body = TokenStore.open(pristine).split("train").body(1)
    assert body.base is not None
    with pytest.raises(ValueError, match="read-only"):
        body[0] = 0


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_outside_the_split_is_an_error(pristine, index):
    with pytest.raises(IndexError, match="train has 5 documents"):
        TokenStore.open(pristine).split("train").body(index)


def test_manifest_counts(pristine):
    manifest = TokenStore.open(pristine).manifest
    train = manifest.splits["train"]
    assert (train.documents, train.title_tokens, train.body_tokens) == (5, 6, 10)
    assert {c: (e.documents, e.tokens) for c, e in train.by_country.items()} == {
        "gb": (2, 2), "ke": (2, 9), "us": (1, 5),
    }  # fmt: skip
    assert [shard.documents for shard in train.shards] == [2, 2, 1]
    assert manifest.quarantine == {"empty_text": 2}
    assert manifest.dtype == "uint16"


def test_same_content_gives_the_same_hash_and_one_change_another(tmp_path, pristine):
    again = write_store(tmp_path)
    assert TokenStore.open(again).hash == TokenStore.open(pristine).hash
    (tmp_path / "other").mkdir()
    other = write_store(tmp_path / "other", shard_documents=3)
    assert TokenStore.open(other).hash != TokenStore.open(pristine).hash


def test_whole_store_verifies(pristine):
    size = sum(f.stat().st_size for f in pristine.rglob("*.bin"))
    size += (pristine / "hosts.txt").stat().st_size
    assert TokenStore.open(pristine, check_hashes=True).verify() == size


def test_unknown_and_empty_splits_are_user_errors(pristine):
    store = TokenStore.open(pristine)
    with pytest.raises(UserError, match="no split dev, only train, validation, test"):
        store.split("dev")
    with pytest.raises(UserError, match=r"split test of .* is empty"):
        store.split("test")


def test_a_folder_that_is_no_store(tmp_path):
    with pytest.raises(UserError, match="no token store at"):
        TokenStore.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"manifest\.json is missing.*give the folder store/"):
        TokenStore.open(tmp_path)


def test_the_output_of_a_preparation_leads_to_the_store_in_it(tmp_path, pristine):
    shutil.copytree(pristine, tmp_path / "store")
    with pytest.raises(UserError, match=f"is missing\\): give {tmp_path / 'store'}$"):
        TokenStore.open(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"format_version": 2}', "[]", '{"a": NaN}'])
def test_a_broken_manifest_is_a_user_error(damaged, content):
    (damaged / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"is no manifest of format [23]"):
        TokenStore.open(damaged)


@pytest.mark.parametrize("version", [1, 4])
def test_a_store_of_another_format_is_to_be_prepared_again(damaged, version):
    manifest = damaged / "manifest.json"
    text = manifest.read_text()
    assert '"format_version": 3' in text
    manifest.write_text(text.replace('"format_version": 3', f'"format_version": {version}'))
    with pytest.raises(UserError) as error:
        TokenStore.open(damaged)
    assert str(error.value) == (
        f"{damaged} is a token store of format {version}, and this geo-nemo reads formats 2 and 3: "
        f"remove the folder {damaged} and repeat geo-nemo prep run"
    )


@pytest.mark.parametrize("name", ["train/00001/body.bin", "train/00000/country.bin", "hosts.txt"])
def test_a_file_cut_short_or_gone_is_named_when_the_store_is_opened(damaged, name):
    path = damaged / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{name} has .* bytes, the manifest says"):
        TokenStore.open(damaged)
    path.unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        TokenStore.open(damaged)


def test_changed_bytes_of_the_same_size_are_found_by_verify(damaged):
    path = damaged / "train/00001/body.bin"
    path.write_bytes(bytes(len(path.read_bytes())))
    store = TokenStore.open(damaged)
    with pytest.raises(
        UserError, match=r"train/00001/body\.bin does not match the manifest's hash"
    ):
        store.verify()


def test_another_tokenizer_in_the_store_is_a_user_error(damaged):
    path = damaged / "tokenizer.model"
    model = path.read_bytes()
    path.write_bytes(model.replace(b"<unk>", b"<ukn>"))
    assert path.read_bytes() != model
    with pytest.raises(UserError, match="is not the tokenizer that made the store"):
        TokenStore.open(damaged).tokenizer()
    path.write_bytes(model[: len(model) // 2])
    with pytest.raises(UserError) as error:
        TokenStore.open(damaged).tokenizer()
    assert str(error.value).endswith(f"remove the folder {damaged} and repeat geo-nemo prep run")


def test_a_manifest_that_points_outside_the_store_is_refused(damaged):
    manifest = damaged / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"train/00001"', '"../train/00001"'))
    with pytest.raises(UserError, match="outside the store"):
        TokenStore.open(damaged)
