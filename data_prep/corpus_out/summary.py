"""`corpus.json`: what the files of a corpus hold, and the hashes that prove it."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import read_json
from geo_nemo.config.section import NonNegative, Section
from geo_nemo.store.manifest import SPLITS

SUMMARY_NAME = "corpus.json"


class CorpusFile(Section):
    """One file. text_bytes: UTF-8 bytes of its texts. xxh3_128: of the file, in hex."""

    split: Literal["train", "validation", "test"]
    documents: NonNegative
    bytes: NonNegative
    text_bytes: NonNegative
    xxh3_128: str


class CorpusSummary(Section):
    """The whole of `corpus.json`; files by name, in the order of their documents."""

    format: Literal["parquet", "webdataset"]
    files: dict[str, CorpusFile]

    def documents(self) -> dict[str, int]:
        """Documents by split."""
        counts = dict.fromkeys(SPLITS, 0)
        for file in self.files.values():
            counts[file.split] += file.documents
        return counts


def read_summary(folder: Path) -> CorpusSummary:
    """The summary of the corpus in `folder`. UserError where there is none."""
    path = folder / SUMMARY_NAME
    try:
        return CorpusSummary.model_validate(read_json(path, "repeat geo-nemo prep run"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path} is no summary of a corpus: {where}: {first['msg']}; repeat geo-nemo prep run"
        ) from None
