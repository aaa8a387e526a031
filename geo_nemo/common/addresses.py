"""Addresses of object storage, `s3://bucket/folder`: told from paths, and refused with secrets."""

import re

from geo_nemo.common.errors import UserError

SCHEME = "s3://"
# Names of S3, and those that older buckets and other servers have.
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_remote(path: object) -> bool:
    """Whether it is an address of object storage, and not a path of this machine."""
    return str(path).startswith(SCHEME)


def check_on_disk(name: str, path: object) -> None:
    """Raise UserError where `path`, that of the setting or option `name`, is an address or empty.

    As a path, an address would make a folder `s3:` here.
    """
    if not str(path):
        raise UserError(f"{name} is empty: give a path")
    if ADDRESS.match(str(path)):
        raise UserError(f"{name} {path}: give a path on a disk; it can be copied from there, or to")


def check_address(name: str, address: str) -> str:
    """`address` without slashes at its end; `name` is the setting that holds it.

    Raises UserError where it names no bucket, or holds credentials, which no message repeats.
    """
    bare = address.removeprefix(SCHEME).rstrip("/")
    bucket, _, folder = bare.partition("/")
    # Secrets of AWS may hold slashes, and what stands behind `?` in a signed URL is one.
    if "@" in bucket or ":" in bucket or "?" in bare:
        raise UserError(
            f"{name}: credentials belong in the environment, as does a server (AWS_ENDPOINT_URL), "
            "not in the address: give s3://bucket/folder"
        )
    if not is_remote(address) or not _BUCKET.fullmatch(bucket) or not folder:
        raise UserError(f"{name}={address}: give a bucket and a folder in it: s3://bucket/folder")
    if any(part in ("", ".", "..") for part in folder.split("/")):
        raise UserError(f"{name}={address}: a part of the folder's name is empty, . or ..")
    return SCHEME + bare
