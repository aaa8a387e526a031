"""Reads an annotated corpus back, document by document, whichever format it has."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from data_prep.corpus_out.summary import read_summary
from data_prep.parts import read_part
from geo_nemo.common.errors import UserError


def read_corpus(folder: str | Path, split: str) -> Iterator[dict[str, Any]]:
    """The documents of a split, in order, as they are in the corpus's Parquet schema.

    `hash` is bytes and `cluster` a number in both formats. Raises UserError for a damaged file.
    In memory: a row group, or a document.
    """
    root = Path(folder)
    summary = read_summary(root)
    read = _parquet if summary.format == "parquet" else _webdataset
    for name, file in summary.files.items():
        if file.split == split:
            count = 0
            for document in read(root / name):
                yield document
                count += 1
            if count != file.documents:
                raise UserError(
                    f"{root / name} is damaged ({count} of {file.documents} documents): delete it "
                    "and prepare again"
                )


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    for batch in read_part(path):
        yield from batch.to_pylist()


def _webdataset(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with tarfile.open(path, "r|") as tar:
            document: dict[str, Any] = {}
            for member in tar:
                content = tar.extractfile(member).read()
                if member.name.endswith(".json"):
                    document = orjson.loads(content)
                    document["hash"] = bytes.fromhex(document["hash"])
                    document["cluster"] = int(document["cluster"], 16)
                else:
                    yield document | {"text": content.decode()}
    except (OSError, tarfile.TarError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is damaged ({reason}): delete it and prepare again") from None
