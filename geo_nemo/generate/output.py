"""What is asked of a model, call by call, and a file of it that goes on where it was stopped.

Records stand in `<out>.partial` while they are written, beside a note of all that they depend on;
the file gets its name when it is whole.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_nemo.common.digests import file_digest
from geo_nemo.common.files import (
    partial_of,
    read_json,
    sync_file,
    sync_folder,
    write_whole,
    writing,
)
from geo_nemo.common.lock import LOCK_NAME, folder_lock
from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError
from geo_nemo.export.loaded import Folder, weights_of
from geo_nemo.generate.prompts import Prompt

if TYPE_CHECKING:
    from geo_nemo.generate.writer import Written

BEGUN, RECORDS = "begun.json", "records.jsonl"
# Files of a model's folder that say how its weights and texts are read.
_SAYS_HOW = (".json", ".jinja", ".model", ".tiktoken", ".txt")
_SEEDS_APART = 1_000_003


@dataclass(frozen=True, slots=True)
class Call:
    """Prompts that are written together. compared: the name of what they are told, or empty."""

    prompts: Sequence[Prompt]
    compared: str
    seed: int

    def records(self, made: "Sequence[Written]") -> list[dict[str, Any]]:
        """A line of the file for each prompt."""
        return [
            {**_asked(prompt, self.compared), "text": each.text, "tokens": each.tokens,
             "ended": each.ended, "seed": self.seed}
            for prompt, each in zip(self.prompts, made, strict=True)
        ]  # fmt: skip


def calls(
    prompts: Sequence[Prompt],
    told: Sequence[tuple[str, Mapping[str, str]]],
    samples: int,
    batch_size: int,
    seed: int,
) -> Iterator[Call]:
    """Every batch, for each sample under all that is told.

    told: names and what each tells; a name that is empty leaves prompts what they are told.
    """
    for first in range(0, len(prompts), batch_size):
        batch = prompts[first : first + batch_size]
        for sample in range(samples):
            for name, what in told:
                asked = [replace(each, told=what) for each in batch] if name else batch
                yield Call(asked, name, seed + sample * _SEEDS_APART + first)


def identity(
    folder: Folder,
    prompts: Sequence[Prompt],
    told: Sequence[tuple[str, Mapping[str, str]]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What the records of a file depend on, by name. told: as in `calls`."""
    return {
        **json.loads(json.dumps(settings, default=str)),
        "model": _model(folder),
        "prompts": _hash([[each.turns, each.title, _known(each)] for each in prompts]),
        "metadata": _hash(
            [dict(what) if name else [dict(p.told) for p in prompts] for name, what in told]
        ),
    }


class Output:
    """The file `out` while it is written, by one process. done: calls that are there already."""

    def __init__(self, out: Path):
        self._out, self._folder = out, partial_of(out)
        self._records = self._folder / RECORDS
        self.done = 0

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write the records of a call; a kill of this process does not lose them any more."""
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        with writing(self._records), self._records.open("ab") as file:
            file.write(text.encode())

    def _go_on(self, depends: Mapping[str, Any], made: Sequence[Call]) -> None:
        """Keep the calls whose records are there and whole."""
        if self._out.exists():
            raise UserError(f"{self._out} is there already: remove it, or give another --out")
        size = self._records.stat().st_size if self._records.is_file() else 0
        if size:
            self._compare(depends)
            with writing(self._records):
                self.done, end = _whole(self._records, made)
                os.truncate(self._records, end)
        else:
            write_whole(self._folder / BEGUN, json.dumps(depends).encode())

    def _compare(self, depends: Mapping[str, Any]) -> None:
        before = read_json(self._folder / BEGUN, f"remove {self._folder}, and begin anew")
        changed = sorted(
            key for key in {**before, **depends} if before.get(key) != depends.get(key)
        )
        if changed:
            raise UserError(
                f"{self._folder} was begun with another {', '.join(changed)}: give what it was, "
                "remove it, or give another --out"
            )

    def _name(self) -> None:
        with writing(self._out):
            sync_file(self._records)
            os.replace(self._records, self._out)
            sync_folder(self._out.parent)

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def output(out: Path, depends: Mapping[str, Any], made: Sequence[Call]) -> Iterator[Output]:
    """Hold the file `out`, which is whole and has its name where the block ends without an error.

    depends: of `identity`. Raises `UserError` where another process writes it, where it is there,
    and where it was begun with something else; nothing is left of one that has no record yet.
    """
    found = Output(out)
    folder = partial_of(out)
    is_other = folder.exists() and not folder.is_dir()
    if is_other or (folder.is_dir() and _is_no_output(folder)):
        raise UserError(f"{folder} is there and is no output that was stopped: move it away")
    with folder_lock(folder, another="--out"):
        try:
            found._go_on(depends, made)
            yield found
            found._name()
        except BaseException:
            records = folder / RECORDS
            if not records.is_file() or not records.stat().st_size:
                found._remove()
            raise
        found._remove()


def _is_no_output(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return BEGUN not in names and bool(names - {LOCK_NAME, partial_of(Path(BEGUN)).name})


def _whole(path: Path, made: Sequence[Call]) -> tuple[int, int]:
    """How many calls have all their records, from the first on, and where the last of them ends.

    A kill or a full disk cuts the last one off.
    """
    done = end = 0
    with path.open("rb") as file:
        for call in made:
            size = 0
            for prompt in call.prompts:
                line = file.readline()
                if not _is_record(line, {**_asked(prompt, call.compared), "seed": call.seed}):
                    return done, end
                size += len(line)
            done, end = done + 1, end + size
    return done, end


def _is_record(line: bytes, asked: Mapping[str, Any]) -> bool:
    try:
        record = parse_json(line) if line.endswith(b"\n") else None
    except ValueError:
        return False
    return isinstance(record, dict) and all(
        name in record and record[name] == value for name, value in asked.items()
    )


def _asked(prompt: Prompt, compared: str) -> dict[str, Any]:
    return {
        **_known(prompt),
        "prompt": prompt.turns[-1],
        "told": dict(prompt.told),
        **({"compared": compared} if compared else {}),
    }


def _known(prompt: Prompt) -> dict[str, Any]:
    return {key: prompt.record[key] for key in ("id", "answer", "kind") if key in prompt.record}


def _model(folder: Folder) -> str:
    places = dict.fromkeys((folder.base, folder.folder))
    try:
        files = [
            path
            for place in places
            for path in sorted(place.iterdir())
            if path.suffix in _SAYS_HOW and path.is_file()
        ]
        says = [[path.name, file_digest(path)] for path in files]
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from None
    return _hash([weights_of(folder), says])


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
