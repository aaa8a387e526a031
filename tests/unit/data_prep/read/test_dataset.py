"""Hugging Face datasets as `save_to_disk` writes them."""

import json

import pytest

from data_prep.config import Limits, Source
from data_prep.read import list_files, open_reader
from geo_nemo.config import UserError
from tests.unit.data_prep.read.samples import RECORDS, arrow, jsonl, pa, raws


def save(folder, tables):
    """Files and lists as datasets 4 leaves them."""
    folder.mkdir(parents=True)
    names = [f"data-{n:05}-of-{len(tables):05}.arrow" for n in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        (folder / name).write_bytes(arrow(table))
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "0", "_format_columns": None, "_format_type": None, "_split": "train",
    }  # fmt: skip
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def records(path, **source):
    files = list_files(Source(path=str(path), **source))
    return [fields for file in files for fields in raws(open_reader(file, Limits()))]


@pytest.mark.parametrize("kind", ["auto", "dataset"])
def test_the_files_that_the_state_names_are_read_in_order(tmp_path, kind):
    save(tmp_path / "d", [pa.Table.from_pylist(RECORDS[:5]), pa.Table.from_pylist(RECORDS[5:])])
    (tmp_path / "d" / "cache-123.arrow").write_bytes(arrow())
    assert records(tmp_path / "d", format=kind) == RECORDS


def test_all_splits_of_a_dict_are_read(tmp_path):
    save(tmp_path / "d" / "train", [pa.Table.from_pylist(RECORDS[:5])])
    save(tmp_path / "d" / "test", [pa.Table.from_pylist(RECORDS[5:])])
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert records(tmp_path / "d") == RECORDS[5:] + RECORDS[:5]
    assert records(tmp_path / "d" / "train") == RECORDS[:5]


def test_datasets_stand_in_folders_beside_other_files(tmp_path):
    save(tmp_path / "in" / "d", [pa.Table.from_pylist(RECORDS[:2])])
    (tmp_path / "in" / "e.jsonl").write_bytes(jsonl(RECORDS[2:]))
    assert records(tmp_path / "in") == RECORDS


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("{", "is damaged: it has no _data_files"),
        ("[]", "is damaged: it has no _data_files"),
        ('{"_data_files": 3}', "lists no files"),
        ('{"_data_files": [3]}', "lists no files"),
        ('{"_data_files": [{}]}', "lists no files"),
        ('{"_data_files": [{"filename": "gone.arrow"}]}', "'gone.arrow', which is not there"),
        ('{"_data_files": [{"filename": "../x.arrow"}]}', "leads out of its folder"),
        ('{"_data_files": [{"filename": "/etc/passwd"}]}', "leads out of its folder"),
    ],
)
def test_a_state_that_cannot_be_used_is_a_user_error(tmp_path, state, message):
    save(tmp_path / "d", [])
    (tmp_path / "d" / "state.json").write_text(state)
    with pytest.raises(UserError, match=message):
        records(tmp_path / "d")


@pytest.mark.parametrize("splits", ['["gone"]', '["../d"]', '["file"]', '["."]'])
def test_a_dict_whose_split_is_no_dataset_is_a_user_error(tmp_path, splits):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_text("")
    (tmp_path / "d" / "dataset_dict.json").write_text(f'{{"splits": {splits}}}')
    with pytest.raises(UserError, match=r"which is no dataset|leads out of its folder"):
        records(tmp_path / "d")


def test_what_is_no_dataset_is_a_user_error_where_one_is_asked_for(tmp_path):
    (tmp_path / "a.arrow").write_bytes(arrow())
    for path in (tmp_path, tmp_path / "a.arrow"):
        with pytest.raises(UserError, match=r"not what save_to_disk writes|wants a folder"):
            records(path, format="dataset")
