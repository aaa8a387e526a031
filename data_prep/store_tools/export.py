"""Writes a split as Megatron's `.bin` and `.idx` under any metadata policy.

    PREFIX.json   what was exported, from which store; it marks the files as ours
    PREFIX.bin    token ids
    PREFIX.idx    moved into place last: where it stands, the others are whole

The token ids are those of each document's whole text, as Megatron's own tool would make them; a
sample of them is compared with the whole text in every run.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.store_tools.columns import documents
from data_prep.store_tools.megatron import IndexedWriter, token_type
from data_prep.store_tools.output import workplace
from data_prep.store_tools.where import EVERYTHING, Where
from data_prep.store_tools.whole import WholeText
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import sync_folder, write_whole, writing
from geo_nemo.common.parse import parse_json
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import key_columns, lines_of
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.base import Tokenizer

MADE_BY = "geo-nemo store export"
CHECKED_DOCUMENTS = 256
REPORT_EVERY = 2048
# What of a policy an export has nothing of.
_OF_TRAINING = ("dropout", "field_dropout")


@dataclass(frozen=True)
class Exported:
    """documents, tokens: what was written. checked: documents compared with their whole text."""

    documents: int
    tokens: int
    bytes: int
    dtype: str
    checked: int


def export_megatron(
    store: TokenStore,
    prefix: Path,
    policy: MetadataPolicy,
    split_name: str = "train",
    where: Where = EVERYTHING,
    as_trained: bool = False,
    progress: Progress = no_progress,
) -> Exported:
    """Write `<prefix>.bin` and `<prefix>.idx`, in the order of the split; both or neither.

    as_trained: the ids that geo_nemo trains on, parts tokenised apart, instead of the whole text's.
    Raises UserError where the split is not there, `where` leaves nothing, files stand in the way
    that this did not make, or the vocabulary does not give the whole text's ids by parts.
    """
    total = store.split(split_name).num_documents
    files = _Files(prefix)
    files.check_replaceable()
    tokenizer = store.tokenizer()
    pieces = _Pieces(policy, tokenizer, as_trained, check_every=max(1, total // CHECKED_DOCUMENTS))
    matches = where.matcher(store)
    with_path = key_columns(lines_of(policy)) is None
    with workplace(prefix) as folder:
        writer = IndexedWriter(folder, token_type(tokenizer.vocab_size))
        passed = 0
        try:
            for shard in store.shards(split_name):
                chosen = np.flatnonzero(matches(shard)) if where.conditions else None
                first = writer.documents
                for document in documents(store, shard, chosen, with_path):
                    writer.add(pieces(*document))
                    if writer.documents % REPORT_EVERY == 0:
                        done = passed + writer.documents - first
                        progress("export", done, total, f"{writer.tokens:,} tokens")
                passed += shard.num_documents
                progress("export", passed, total, f"{writer.tokens:,} tokens")
            if not writer.documents:
                raise UserError(f"no document of {split_name} in {store.root} has {where}")
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
        exported = Exported(
            documents=writer.documents,
            tokens=writer.tokens,
            bytes=writer.bin_path.stat().st_size + writer.idx_path.stat().st_size,
            dtype=writer.dtype.name,
            checked=pieces.checked,
        )
        about = {
            "made_by": MADE_BY,
            "store": store.hash,
            "tokenizer_sha256": tokenizer.sha256,
            "split": split_name,
            "policy": {k: v for k, v in policy.canonical().items() if k not in _OF_TRAINING},
            "where": str(where),
            "tokens_as": "trained" if as_trained else "whole text",
            **asdict(exported),
        }
        files.replace(writer, about)
    return exported


class _Pieces:
    """Composes each document; every so often, one is compared with its whole text."""

    def __init__(
        self, policy: MetadataPolicy, tokenizer: Tokenizer, as_trained: bool, check_every: int
    ):
        self.checked = 0
        self._composer = Composer(policy, tokenizer) if as_trained else None
        self._whole = WholeText(policy, tokenizer)
        self._check_every = check_every
        self._done = 0

    def __call__(
        self, record: MetadataRecord, title: np.ndarray, body: np.ndarray
    ) -> list[np.ndarray]:
        if self._composer is not None:
            return [self._composer.compose(record, title, body).ids]
        if self._done % self._check_every == 0:
            self.checked += 1
            if not self._whole.check(record, title, body):
                raise UserError(
                    f"document {self._done} of the export is not what the vocabulary gives for "
                    "its whole text: it joins text across title, label or body; add --tokens "
                    "trained to export the ids that geo-nemo trains on"
                )
        self._done += 1
        return self._whole.parts(record, title, body)


class _Files:
    """The three files of an export."""

    def __init__(self, prefix: Path):
        if not prefix.name or prefix.is_dir():
            raise UserError(f"--out {prefix} is a folder: give a prefix, as in {prefix / 'train'}")
        self._prefix = prefix
        self.about, self.bin, self.idx = (
            prefix.with_name(prefix.name + suffix) for suffix in (".json", ".bin", ".idx")
        )

    def check_replaceable(self) -> None:
        """UserError where a file stands in the way that no export made."""
        there = [path for path in (self.about, self.bin, self.idx) if path.exists()]
        if there and not self._ours():
            raise UserError(
                f"{there[0]} exists and was not made by {MADE_BY}: give another --out, or remove it"
            )

    def replace(self, writer: IndexedWriter, about: dict[str, Any]) -> None:
        """Move the writer's files into place, the index last."""
        with writing(self._prefix):
            # An old index beside a new .bin would look whole.
            self.idx.unlink(missing_ok=True)
            write_whole(self.about, (json.dumps(about, indent=1) + "\n").encode())
            os.replace(writer.bin_path, self.bin)
            sync_folder(self.bin.parent)
            os.replace(writer.idx_path, self.idx)
            sync_folder(self.idx.parent)

    def _ours(self) -> bool:
        try:
            return parse_json(self.about.read_bytes())["made_by"] == MADE_BY
        except (OSError, ValueError, KeyError, TypeError):
            return False
