"""A record in JSON that says itself whether it is still as it was written.

It keeps a hash of its own content, and of files that belong to it. This guards against a hand or a
copy that changed something in between, not against somebody who means to deceive.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geo_nemo.common.errors import UserError

KEY = "sha256"
OWN = "record"


def sealed(record: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """`record` as JSON, with the hash of its content and of each of `files` by its name."""
    plain = json.loads(json.dumps(record, allow_nan=False))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return json.dumps({**plain, KEY: {OWN: _hash(plain), **hashes}}, allow_nan=False).encode()


def check_seal(path: Path, record: Mapping[str, Any], mend: str) -> None:
    """Raise `UserError` that ends with `mend` where the record at `path` is not as it was written.

    A record of before there were seals passes.
    """
    seal = record.get(KEY)
    if seal is None:
        return
    plain = {key: value for key, value in record.items() if key != KEY}
    if not isinstance(seal, Mapping) or seal.get(OWN) != _hash(plain):
        raise UserError(f"{path} was changed since it was written: {mend}")


def check_sealed_file(path: Path, content: bytes, record: Mapping[str, Any], mend: str) -> None:
    """Raise `UserError` where the file beside a record is another than the one it was written with.

    A file of which the record keeps no hash passes.
    """
    expected = (record.get(KEY) or {}).get(path.name)
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise UserError(f"{path} was changed since it was written: {mend}")


def _hash(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
