"""Addresses on `s3://`: told from paths; what is wrong with one is a line without its secrets."""

import pytest

from geo_nemo.common.addresses import check_address, is_remote
from geo_nemo.config import Checkpoint, Data, UserError


def test_an_address_keeps_all_but_slashes_at_its_end():
    assert check_address("x", "s3://my-bucket.eu/a/b c/@d//") == "s3://my-bucket.eu/a/b c/@d"
    assert is_remote("s3://b/a")
    assert not is_remote("/data/s3://b/a") and not is_remote("s3/b")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://bucket", "give a bucket and a folder in it"),
        ("s3://bucket/", "give a bucket and a folder in it"),
        ("s3:///a", "give a bucket and a folder in it"),
        ("/bucket/a", "give a bucket and a folder in it"),
        ("s3://b*/a", "give a bucket and a folder in it"),
        ("s3://bucket/a//b", "empty, . or .."),
        ("s3://bucket/../b", "empty, . or .."),
    ],
)
def test_what_is_no_folder_of_a_bucket_is_named(address, message):
    with pytest.raises(UserError, match=message) as error:
        check_address("data.store", address)
    assert str(error.value).startswith(f"data.store={address}: ")


SECRETS = [
    "s3://KEY:hidden@bucket/a",
    "s3://KEY:half/hidden@bucket/a",
    "s3://hidden@b/a",
    "s3://bucket/a?X-Amz-Signature=hidden",
]


@pytest.mark.parametrize("address", SECRETS)
@pytest.mark.parametrize("section", [Data, Checkpoint])
def test_secrets_in_an_address_are_refused_unseen(section, address):
    key = "store" if section is Data else "remote"
    with pytest.raises(UserError, match="credentials belong in the environment") as error:
        section.model_validate({key: address})
    assert "hidden" not in str(error.value)


def test_settings_take_addresses_and_paths():
    assert Data(store="s3://b/a/").store == "s3://b/a"
    assert Data(store="runs/store/").store == "runs/store/"
    assert Checkpoint(remote="s3://b/run").remote == "s3://b/run"
    assert Checkpoint().remote is None
    with pytest.raises(UserError, match=r"checkpoint.remote=/disk: give a bucket"):
        Checkpoint(remote="/disk")
