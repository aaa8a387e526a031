"""A record says itself whether it, or a file beside it, was changed since it was written."""

import json

import pytest

from geo_nemo.common.errors import UserError
from geo_nemo.common.seal import check_seal, check_sealed_file, sealed

RECORD = {"loss": 0.1 + 0.2, "of": ("a", "b"), "none": None, "name": "Älg"}


def test_what_was_written_passes_in_any_layout_and_order(tmp_path):
    found = json.loads(sealed(RECORD, {"a.npz": b"12"}))
    assert {k: v for k, v in found.items() if k != "sha256"} == json.loads(json.dumps(RECORD))
    check_seal(tmp_path, json.loads(json.dumps(found, indent=3, sort_keys=True)), "mend it")
    check_sealed_file(tmp_path / "a.npz", b"12", found, "mend it")
    check_sealed_file(tmp_path / "other", b"", found, "mend it")


@pytest.mark.parametrize(
    "change",
    [{"loss": 0.3}, {"of": ["a"]}, {"more": 1}, {"sha256": {}}, {"sha256": "x"}, {"sha256": []}],
)
def test_a_change_is_a_line(tmp_path, change):
    found = json.loads(sealed(RECORD, {}))
    with pytest.raises(UserError, match="changed since it was written: mend it"):
        check_seal(tmp_path, found | change, "mend it")


def test_a_file_of_another_writing_is_a_line(tmp_path):
    found = json.loads(sealed(RECORD, {"a.npz": b"12"}))
    with pytest.raises(UserError, match=r"a\.npz was changed since it was written: mend it"):
        check_sealed_file(tmp_path / "a.npz", b"13", found, "mend it")


def test_records_of_before_pass(tmp_path):
    check_seal(tmp_path, RECORD, "mend it")
    check_sealed_file(tmp_path / "a.npz", b"13", RECORD, "mend it")
