"""Stage `tokenizer`: a given tokenizer, or one trained on a sample of the train split.

    <output>/tokenizer/tokenizer.model   or tokenizer.json, or tokenizer.tiktoken and its .json

One task. It also finds out what encodes with this tokenizer, and puts it into the receipt.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_prep.engine import Receipt, Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import all_parts
from data_prep.tokenise.loaded import tokenizer_at, tokenizer_of
from data_prep.tokenise.publish import publish_tree
from data_prep.tokenise.sample import sample_train_texts
from data_prep.tokenise.train import TooFewTexts, train_sentencepiece
from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import copy_tokenizer, load_tokenizer

TOKENIZER_VERSION = "1"
TOKENIZER_FOLDER = "tokenizer"
TASK_ID = "tokenizer"
_TRAINED, _SETTINGS = "tokenizer.model", "trained_with.txt"


@dataclass(frozen=True)
class MadeTokenizer:
    """The stage's result. path: in the stage's folder."""

    tokenizer: Tokenizer
    path: Path


class TokenizerStage(Stage):
    """Makes the tokenizer."""

    name = "tokenizer"

    def tasks(self) -> list[Task]:
        choice = self.config.tokenizer
        if choice.path:
            settings = choice.model_dump_json(include={"bos", "eos", "pad"})
            size, content = _given(Path(choice.path))
            kind = f"{choice.kind} {tokenizer_of(choice).sha256}" if choice.kind else ""
            parts = filter(None, (TOKENIZER_VERSION, settings, content, kind))
            return [Task(TASK_ID, task_key(*parts), size, {})]
        from data_prep.final import final_keys

        parts = all_parts(self.config)
        key = task_key(
            TOKENIZER_VERSION,
            self._settings(),
            "keep" * choice.keep,
            *(part.key for part in parts),
            *final_keys(self.config),
        )
        return [Task(TASK_ID, key, sum(part.text_bytes for part in parts), {})]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        choice = self.config.tokenizer
        if choice.path:
            # Its names may stand beside the given file: ask that, not the copy.
            tokenizer = tokenizer_of(choice)
            path = folder / copy_tokenizer(choice.path, folder, tokenizer.kind)
        else:
            path = folder / _TRAINED
            tokenizer = self._kept(path) or self._trained(path, progress)
            (folder / _SETTINGS).write_text(self._settings(), encoding="utf-8")
        names = tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id])
        # Of one that is given, the key of the task tells as much.
        trained = {} if choice.path else {"trained": tokenizer.sha256}
        return trained | {
            "file": path.name,
            "kind": tokenizer.kind,
            "sha256": tokenizer.sha256,
            "vocab_size": tokenizer.vocab_size,
            **dict(zip(("bos", "eos", "pad"), names, strict=True)),
        }

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        """Give the files their second names in `<output>/tokenizer/`."""
        source = self.task_folder(TASK_ID)
        files = {name: source / name for name in receipts[0].files}
        publish_tree(Path(self.config.output) / TOKENIZER_FOLDER, tasks[0].key, files)

    def made_key(self) -> str:
        """Changes with the tokenizer. UserError or RuntimeError where the stage is not finished.

        What is trained hangs on more than the task's key: on what an earlier run has left. Receipts
        of before that was told keep the shards that were made with them.
        """
        (receipt,) = self.receipts()
        return " ".join(filter(None, (receipt.key, receipt.counts.get("trained"))))

    def made(self) -> MadeTokenizer:
        """The tokenizer of the finished stage; a process loads it once."""
        (receipt,) = self.receipts()
        counts = receipt.counts
        names = tuple((role, counts[role]) for role in ("bos", "eos", "pad"))
        path = self.task_folder(TASK_ID) / counts["file"]
        return _load(path, counts["kind"], names, counts["sha256"])

    def _settings(self) -> str:
        """What a training depends on beside the texts."""
        choice = self.config.tokenizer
        settings = choice.model_dump_json(include={"vocab_size", "shrink", "sample_bytes"})
        balance = f" balance {choice.balance}" if choice.balance else ""
        return f"{settings} seed {self.config.seed}{balance}"

    def _kept(self, path: Path) -> Tokenizer | None:
        """The tokenizer that an earlier run trained with these settings, copied to `path`."""
        outputs = (self.config.output, *self.config.dedup.against)
        for output in outputs if self.config.tokenizer.keep else ():
            folder = Path(output) / TOKENIZER_FOLDER
            try:
                same = (folder / _SETTINGS).read_text(encoding="utf-8") == self._settings()
                if same:
                    path.write_bytes((folder / _TRAINED).read_bytes())
            except FileNotFoundError:
                continue
            if same:
                return load_tokenizer(path)
        return None

    def _trained(self, path: Path, progress: TaskProgress) -> Tokenizer:
        choice = self.config.tokenizer
        try:
            texts = sample_train_texts(self.config, progress)
            return train_sentencepiece(texts, choice.vocab_size, path)
        except TooFewTexts as error:
            if not choice.shrink:
                raise
            texts = sample_train_texts(self.config, progress)
            return train_sentencepiece(texts, error.most, path)


def _load(path: Path, kind: str, names: tuple[tuple[str, str], ...], sha256: str) -> MadeTokenizer:
    tokenizer = tokenizer_at(path, kind, **dict(names))
    if tokenizer.sha256 != sha256:
        raise UserError(f"{path} changed since it was made: remove {path.parent} and prepare again")
    return MadeTokenizer(tokenizer, path)


def _given(path: Path) -> tuple[int, str]:
    """Bytes of a tokenizer file, and a hash of it and of the settings beside it."""
    beside = [path.parent / "tokenizer_config.json", path.with_name(path.name + ".json")]
    try:
        files = [path, *(each for each in beside if each.is_file())]
        status = [file.stat() for file in files]
        versions = tuple((s.st_size, s.st_mtime_ns) for s in status)
        return status[0].st_size, _hash(tuple(files), versions)
    except OSError as error:
        raise UserError(f"cannot read tokenizer {path}: {error.strerror}") from None


@lru_cache(8)
def _hash(paths: tuple[Path, ...], versions: tuple) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
