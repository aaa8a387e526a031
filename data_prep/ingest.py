"""First stage: raw files to parts of checked, annotated, cleaned documents.

A task is some of the input files. What cannot be used is counted by reason (data_prep.account). In
memory: one row group, one record and the samples.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from data_prep.account import Account, shown_name
from data_prep.config import Prep
from data_prep.engine import Receipt, Stage, Task, TaskProgress
from data_prep.engine.receipt import read_receipt, task_key
from data_prep.engine.stage import WORK
from data_prep.extra_fields import (
    check_own_fields,
    given_fields,
    own_counts,
    partition_fields,
    with_given,
)
from data_prep.parts import PartWriter
from data_prep.quarantine import Rejected
from data_prep.unplaced import NAME as UNPLACED
from data_prep.unplaced import Unplaced, read_unplaced
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import PARTIAL, write_together, writing

# A file is not cut into smaller pieces, however small tasks are to be.
LEAST_PIECE_BYTES = 1 << 13
INGEST_VERSION = "8"
DROPS_NAME, PARTS_NAME, TASKS_NAME = "drops.jsonl", "parts.json", "tasks.json"
REPORT_RECORDS = 1000


@dataclass(frozen=True)
class PartRef:
    """A part as later stages see it.

    id: `00007-00000`, task and part. key: of the task that made it.
    start: number of its first document, counted over all parts.
    """

    id: str
    path: Path
    key: str
    documents: int
    text_bytes: int
    start: int


class Ingest(Stage):
    """Reads, annotates and cleans."""

    name = "ingest"
    told = ""  # of files that are passed over, in words, once `tasks` has looked

    def tasks(self) -> list[Task]:
        from data_prep.read import list_inputs, pieces
        from data_prep.read.files import told_passed_over

        sources = self.config.sources
        base, readers = self._settings()
        passed_over: set[str] = set()
        most = max(self.config.limits.task_bytes, LEAST_PIECE_BYTES)
        files = [
            (sources.index(file.source), piece)
            for file in list_inputs(sources, self.config.output, passed_over)
            for piece in pieces(file, most)
        ]
        tasks = []
        for number, group in enumerate(_groups(files, self.config.limits.task_bytes)):
            identity = [
                f"{f.path} {f.size} {f.version} {sources[i].key}{readers[i]}"
                + (f" {f.piece}" if f.piece else "")
                + _beside(f)
                + _in_folders(f)
                for i, f in group
            ]
            tasks.append(
                Task(
                    id=f"{number:05d}",
                    key=task_key(*base, *identity),
                    size=sum(_bytes(file) for _, file in group),
                    payload={"files": [_entry(i, f) for i, f in group]},
                )
            )
        self.told = told_passed_over(passed_over)
        return tasks

    def _settings(self) -> tuple[tuple[str, ...], list[str]]:
        """What decides the results beside the files, and who reads each source from outside."""
        from data_prep.annotate import annotation_key
        from data_prep.clean.rules import brought_filters
        from data_prep.read.brought import brought_reader

        settings = self.config.canonical("annotate", "clean", "shard_documents")
        others = {"task_bytes", "max_values"}
        if not self.config.kinds:
            others.add("max_value_bytes")
        record_limits = self.config.limits.model_dump_json(exclude=others)
        base = (INGEST_VERSION, settings, record_limits, annotation_key(self.config.annotate),
                *brought_filters(self.config.clean))  # fmt: skip
        readers = [brought_reader(source) for source in self.config.sources]
        return base, [f" {who}" if who else "" for who in readers]

    def _settings_key(self) -> str:
        base, readers = self._settings()
        return task_key(
            *base, *(s.key + r for s, r in zip(self.config.sources, readers, strict=True))
        )

    def ended(self, tasks: list[Task]) -> bytes:
        """What tells later stages which tasks a run had."""
        done = {"settings": self._settings_key(), "tasks": [[t.id, t.key] for t in tasks]}
        if self.told:
            done["passed_over"] = self.told
        return orjson.dumps(done)

    def passed_over(self) -> str:
        """What is to be told of files that the run that ended last has not read; or empty."""
        return orjson.loads((self.folder / TASKS_NAME).read_bytes()).get("passed_over", "")

    def receipts(self) -> list[Receipt]:
        """Those of the run that ended last: input that has changed since is for the next one.

        UserError where none has ended, or it had other settings.
        """
        try:
            done = orjson.loads((self.folder / TASKS_NAME).read_bytes())
            settings, tasks = done["settings"], [(name, key) for name, key in done["tasks"]]
        except (OSError, ValueError, KeyError, TypeError):
            settings, tasks = self._settings_key(), []
        if settings != self._settings_key():
            raise UserError(
                f"stage ingest of {self.config.output} was done with other settings: run geo-nemo "
                "prep run without --stage"
            )
        found = [(read_receipt(self.task_folder(name)), key) for name, key in tasks]
        receipts = [receipt for receipt, key in found if receipt is not None and receipt.key == key]
        if not found or len(receipts) < len(found):
            raise _unfinished(self.config)
        return receipts

    def done(self) -> list[Path]:
        """Folders of the tasks of the run that ended last."""
        entries = orjson.loads((self.folder / TASKS_NAME).read_bytes())["tasks"]
        return [self.task_folder(name) for name, _ in entries]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        from data_prep.annotate import Annotator, Annotators, OwnFields
        from data_prep.clean import Cleaner
        from data_prep.read import InputFile, open_reader

        annotator, cleaner = Annotator(self.config.annotate), Cleaner(self.config.clean)
        annotators, sources = Annotators(self.config.annotate), self.config.sources
        own = OwnFields(self.config.kinds, self.config.limits.max_value_bytes, self.config.firsts)
        writer = PartWriter(
            folder, self.config.shard_documents, annotator.settle, tuple(self.config.kinds)
        )
        account = Account(self.config.clean.samples_per_reason)
        done = 0
        try:
            for index, path, size, version, *piece in task.payload["files"]:
                source = sources[index]
                constants = given_fields(path, source)
                file = InputFile(path, size, version, source, tuple(piece) or None)
                reader = open_reader(file, self.config.limits)
                path += f" from byte {piece[1]}" if piece else ""
                before = account.read
                for count, record in enumerate(reader):
                    if count % REPORT_RECORDS == 0:
                        progress(done + reader.bytes_read, account.read)
                    fields = getattr(record, "fields", None)
                    if fields is None:
                        account.refuse(path, record.number, record.reason, record.detail,
                                       record.excerpt)  # fmt: skip
                        account.lose(shown_name(path, source.path), record, account.read - before)
                        continue
                    account.read += 1
                    if constants:
                        fields = with_given(constants, fields)
                    try:
                        document = cleaner.clean(annotator.document(fields, source.name))
                    except Rejected as verdict:
                        account.drop(path, record, reader.explained(verdict))
                        continue
                    if own.counts:
                        document.fields = own.of(annotators.of(document, fields))
                    account.keep(document, fields)
                    writer.add(document)
                account.finish_file(path, shown_name(path, source.path), reader)
                done += _bytes(file)
            parts = writer.close()
        except BaseException:
            writer.abandon()
            raise
        progress(done, account.read)
        (folder / DROPS_NAME).write_bytes(account.samples())
        (folder / UNPLACED).write_bytes(orjson.dumps(account.unplaced.as_json()))
        return (
            account.counts()
            | {"continents_replaced": dict(sorted(annotator.continents_replaced.items()))}
            | annotator.date_counts()
            | own_counts(own.counts, account.seen)
            | {
                "parts": [
                    {"file": p.path.name, "documents": p.documents, "text_bytes": p.text_bytes}
                    for p in parts
                ]
            }
        )

    def begin(self, tasks: list[Task]) -> None:
        """What the last run has listed goes, where its tasks were others: a kill would leave it."""
        listed = self.folder / TASKS_NAME
        if not (listed.is_file() and listed.read_bytes() == self.ended(tasks)):
            with writing(self.folder):
                (self.folder / PARTS_NAME).unlink(missing_ok=True)
                listed.unlink(missing_ok=True)

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        """List all parts, for the stages that follow. UserError where there is no document."""
        parts, start = [], 0
        for task, receipt in zip(tasks, receipts, strict=True):
            for number, part in enumerate(receipt.counts["parts"]):
                parts.append(
                    {
                        "id": f"{task.id}-{number:05d}",
                        "path": f"{task.id}/{part['file']}",
                        "key": task.key,
                        "documents": part["documents"],
                        "text_bytes": part["text_bytes"],
                        "start": start,
                    }
                )
                start += part["documents"]
        if not start:
            self._nothing_usable(tasks, receipts)
        check_own_fields(self.config, [receipt.counts for receipt in receipts])
        write_together(
            {
                self.folder / PARTS_NAME: orjson.dumps(parts, option=orjson.OPT_INDENT_2),
                self.folder / TASKS_NAME: self.ended(tasks),
            }
        )

    def _nothing_usable(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        drops: Counter[str] = Counter()
        example = ""
        for task, receipt in zip(tasks, receipts, strict=True):
            drops.update(receipt.counts["drops"])
            lines = (self.task_folder(task.id) / DROPS_NAME).read_text(encoding="utf-8")
            example = example or lines.partition("\n")[0]
            drops.update(f"file {lost['reason']}" for lost in receipt.counts["lost"])
        reasons = ", ".join(f"{name} {count}" for name, count in drops.most_common())
        named = ", ".join(source.path for source in self.config.input)
        raise UserError(
            f"no usable record in {named} ({reasons or 'no record'}); first: {example[:300]}"
        )


def all_parts(config: Prep) -> list[PartRef]:
    """The parts of a finished ingest, in order. UserError where it is not finished."""
    folder = Ingest(config).folder
    try:
        entries = orjson.loads((folder / PARTS_NAME).read_bytes())
    except (OSError, ValueError):
        raise _unfinished(config) from None
    return [PartRef(**{**entry, "path": folder / entry["path"]}) for entry in entries]


def _unfinished(config: Prep) -> UserError:
    return UserError(
        f"stage ingest of {config.output} is not finished: run geo-nemo prep run first"
    )


def _entry(index: int, file: Any) -> list[Any]:
    """A file, or a piece of one, as JSON that a task keeps."""
    return [index, file.path, file.size, file.version, *(file.piece or ())]


def _beside(file: Any) -> str:
    """What stands beside a file and is read with it: the address of a web page."""
    from data_prep.config.input import AUTO
    from data_prep.read.detect import UNKNOWN, format_of_name
    from data_prep.read.page import beside_version

    given = file.source.format
    named = format_of_name(file.path.rpartition("/")[2]) if given == AUTO else given
    # A name that tells no format, as page.php, may be that of a page: its bytes tell.
    version = beside_version(file.path) if named in ("html", "", UNKNOWN) else ""
    return f" beside {version}" if version else ""


def _in_folders(file: Any) -> str:
    """What the folders of a file tell of its records: it hangs on the pattern, which no key has."""
    found = partition_fields(file.path, file.source)
    return f" folders {sorted(found.items())!r}" if found else ""


def _bytes(file: Any) -> int:
    """Of a file or piece."""
    return file.piece[2] - file.piece[1] if file.piece else file.size


def _groups(files: list, limit: int) -> Iterator[list]:
    """Consecutive files until they hold `limit` bytes."""
    group, size = [], 0
    for index, file in files:
        if group and size + _bytes(file) > limit:
            yield group
            group, size = [], 0
        group.append((index, file))
        size += _bytes(file)
    if group:
        yield group


def unplaced_of(output: Path) -> Unplaced:
    """The hosts of a preparation, from its work. UserError where that was not kept."""
    found = (output / WORK / Ingest.name).glob(f"*/{UNPLACED}")
    files = sorted(path for path in found if path.parent.suffix != PARTIAL)
    if not files:
        raise UserError(
            f"{output} has no {WORK}/ of geo-nemo prep run: prepare it with keep_work=true; the "
            "heaviest hosts stand in its card"
        )
    return read_unplaced(files)
