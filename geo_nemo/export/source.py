"""What is exported: a checkpoint, the settings that it was trained with, and its tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_nemo.common.addresses import check_address, is_remote
from geo_nemo.common.parse import parse_json
from geo_nemo.config import Run, UserError
from geo_nemo.config.average import Weights
from geo_nemo.config.load import validate
from geo_nemo.metadata.meta_tokens import vocab_size_of
from geo_nemo.store.manifest import MANIFEST_NAME, read_manifest
from geo_nemo.store.remote import fetch_tokenizer
from geo_nemo.store.tokenizer import open_tokenizer
from geo_nemo.tokenizers.base import Tokenizer, control_tokens
from geo_nemo.tokenizers.load import load_tokenizer
from geo_nemo.train.checkpoint.files import (
    RECORD,
    checkpoints,
    read_record,
    shape_problem,
)
from geo_nemo.train.origin import newest_in, remote_checkpoint


@dataclass(frozen=True)
class Source:
    """place: the checkpoint's folder, or its address on `s3://`. record: its `geo_nemo.json`.

    tokenizer_file: where the tokenizer's own file is.
    """

    place: str
    record: dict[str, Any]
    run: Run
    tokenizer: Tokenizer
    tokenizer_file: Path

    @property
    def vocab_size(self) -> int:
        """Rows of the vocabulary: of the tokenizer, and of the run's meta-tokens."""
        return vocab_size_of(self.run, self.tokenizer)

    @property
    def step(self) -> int:
        """Optimizer steps that the weights have behind them."""
        return int(self.record["step"])


def find_source(
    given: str, tokenizer: str | None, scratch: Path, setting: str = "--tokenizer"
) -> Source:
    """The checkpoint that `given` is, or of a run the newest one whose files are all there.

    tokenizer: a store or a tokenizer's file, in place of the run's store. scratch: a folder for the
    tokenizer of a store on `s3://`. setting: what the user gives a tokenizer as, for messages. What
    the files hold is not read yet. Raises `UserError`.
    """
    place, record = _remote(given) if is_remote(given) else _local(Path(given))
    try:
        settings, sha256 = record["config"], record["fingerprint"]["tokenizer"]
    except (KeyError, TypeError):
        raise UserError(f"{place}: its record does not tell which run made it") from None
    run = validate(f"{place}, of another version", Run, settings, kept=True)
    found, file = _tokenizer(tokenizer or run.data.store, scratch, tokenizer is None, setting)
    if found.sha256 != sha256:
        raise UserError(
            f"{tokenizer or run.data.store} has another tokenizer ({found.sha256[:16]}) than the "
            f"run was trained with ({sha256[:16]}): give that one, or its store, as {setting}"
        )
    _check_control_tokens(place, found, setting)
    return Source(place, record, run, found, file)


def check_weights(source: Source, weights: Weights) -> None:
    """Raise `UserError` where the checkpoint does not hold them."""
    if weights == "average" and not source.run.average.is_kept:
        raise UserError(
            f"{source.place} has no average of the weights: leave out --weights average, or train "
            "with average.kind=ema"
        )


def _check_control_tokens(place: str, found: Tokenizer, setting: str) -> None:
    """Raise `UserError` where `run.json` tells of others; a tokenizer's file may not name them."""
    try:
        record = parse_json((Path(place).parents[1] / "run.json").read_bytes())
        trained = dict(record["control_tokens"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return  # on s3://, moved away, or of before they were recorded
    if trained != (here := control_tokens(found)):
        raise UserError(
            f"the tokenizer has the control tokens {here}, and the run was trained with {trained}: "
            f"give its store as {setting}, or put its tokenizer_config.json beside the file"
        )


def _remote(given: str) -> tuple[str, dict[str, Any]]:
    return remote_checkpoint(check_address("RUN", given))


def _local(folder: Path) -> tuple[str, dict[str, Any]]:
    if (folder / RECORD).is_file():
        if problem := shape_problem(folder):
            raise UserError(f"{folder} is not whole: {problem}; give another checkpoint, or a run")
        return str(folder), read_record(folder)
    for parent in (folder / "checkpoints", folder):
        if checkpoints(parent):
            newest = newest_in(parent)
            return str(newest), read_record(newest)
    raise UserError(
        f"{folder} is neither a run with checkpoints nor a checkpoint ({RECORD}): give the "
        "output_dir of a training"
    )


def _tokenizer(place: str, scratch: Path, of_the_run: bool, setting: str) -> tuple[Tokenizer, Path]:
    try:
        if is_remote(place):
            return fetch_tokenizer(place, scratch)
        path = Path(place)
        if path.is_file():
            return load_tokenizer(path), path
        if (path / MANIFEST_NAME).is_file():
            manifest, _ = read_manifest(path)
            return open_tokenizer(path, manifest.tokenizer), path / manifest.tokenizer.file
    except UserError as error:
        raise UserError(f"{error}; or give another as {setting}") from None
    where = "the run's store " if of_the_run else ""
    raise UserError(
        f"{where}{place} is neither a token store nor a tokenizer's file: give one of the two as "
        f"{setting}"
    )
