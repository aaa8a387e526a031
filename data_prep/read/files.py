"""The files of a source: paths, patterns and folders, here and on `s3://`, in sorted order.

In a folder, names that start with `.` or `_` are passed over, and where the format is `auto` also
those whose ending is that of none of the formats, such as README.md. What ends as other formats of
records do (`.bz2`, `.xlsx`) is refused by name.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from glob import has_magic
from pathlib import Path

from data_prep.config import Source
from data_prep.config.input import AUTO
from data_prep.read.dataset import dataset_entries, is_dataset
from data_prep.read.detect import UNKNOWN, format_of_name, is_foreign
from data_prep.read.formats import ours
from data_prep.read.places import FILE, FOLDER, Entry, LocalFolders, Place
from data_prep.read.record import InputFile, shown
from data_prep.read.s3 import SCHEME, S3Buckets
from geo_nemo.common.counts import plural
from geo_nemo.common.errors import UserError

# What a preparation has in its output, beside what may be a user's.
WRITTEN = {"card.html", "card.md", "corpus", "drops", "report.json", "splits", "store",
           "tokenizer", "work"}  # fmt: skip
_WITHOUT_IT = "move it out of the folder, or narrow the pattern"
_ENDINGS = 5
# Folders in which other tools' tables keep their logs.
_TABLES = {"_delta_log": "Delta Lake", ".hoodie": "Hudi", "_versions": "Lance"}
_ENDING = re.compile(r"\.[^./]+(?:\.(?:gz|gzip|zst|zstd))?$", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Other storage, and the usual way to have a copy of what is there.
_FETCHED = {
    "hf": "hf download REPOSITORY --repo-type dataset --local-dir FOLDER, then input=FOLDER",
    "gs": "gcloud storage cp -r gs://... FOLDER, then input=FOLDER",
    "az": "az storage blob download-batch, or azcopy copy, then input=FOLDER",
    "https": "curl --remote-name the file, then input=FILE",
}
_FETCHED |= {
    "http": _FETCHED["https"], "ftp": _FETCHED["https"], "gcs": _FETCHED["gs"],
    "abfs": _FETCHED["az"], "abfss": _FETCHED["az"], "wasb": _FETCHED["az"],
    "s3a": "write s3://", "s3n": "write s3://", "file": "write the path alone, without file://",
    "hdfs": "hdfs dfs -get it, then input=FOLDER",
}  # fmt: skip


def list_files(source: Source) -> list[InputFile]:
    """The files of `source`, sorted by path.

    UserError where there is none, where one is no regular file or is there under two names.
    """
    return list_inputs([source])


def list_inputs(
    sources: Sequence[Source], output: str | None = None, passed_over: set[str] | None = None
) -> list[InputFile]:
    """The files of all sources, source by source. UserError also where two share a file.

    output: of the preparation; what it has written there is passed over, in a folder or by a
        pattern that holds both, so that a second run finds what the first one found.
    passed_over: takes the paths of files in folders whose endings are those of no format, or whose
        names begin with _.
    """
    files: list[InputFile] = []
    written = None if output is None else Path(output).resolve()
    seen: dict[str, str] = {}
    for source in sources:
        others: list[str] = []
        found = {entry.path: entry for entry in _expand(source, others)}
        if passed_over is not None:
            passed_over.update(p for p in others if not (written and _is_written(p, written)))
        given = [path for path in sorted(found) if not (written and _is_written(path, written))]
        if not given:
            raise UserError(
                f"input={shown(source.path)} holds nothing but what geo-nemo prep wrote into "
                f"{output}: give other input, or another output"
            )
        for path in given:
            entry = found[path]
            _check(entry)
            if (other := seen.get(entry.identity)) == path:
                raise UserError(f"input={shown(path)} is named twice")
            if other is not None:
                raise UserError(
                    f"input: {shown(other)} and {shown(path)} are the same file: narrow the pattern"
                )
            seen[entry.identity] = path
            files.append(InputFile(path, entry.size, entry.version, source))
    return files


def _is_written(path: str, output: Path) -> bool:
    """Whether a path is in one of the places of `output` that are prep's own."""
    if path.startswith(SCHEME):
        return False
    file = Path(path).resolve()
    return output in file.parents and file.relative_to(output).parts[0] in WRITTEN


def _expand(source: Source, others: list[str]) -> list[Entry]:
    path = source.path
    if "\0" in path:
        raise UserError(f"input={shown(path)}: a path cannot hold a NUL")
    scheme = _OTHER_SCHEME.match(path)
    if scheme and not path.startswith(SCHEME):
        name = scheme[1].lower()
        mend = _FETCHED.get(name, "copy it here, or to s3://")
        raise UserError(f"input={shown(path)}: {name}:// is not read: {mend}")
    place = S3Buckets() if path.startswith(SCHEME) else LocalFolders()
    entry = place.entry(path)
    if entry is not None:
        found = list(_files(place, entry, source, set(), others))
        if not found:
            told = told_passed_over(others)
            raise UserError(
                f"input={shown(path)}: the folder holds no file of records" + (told and f"; {told}")
            )
        return found
    if not has_magic(path):
        raise UserError(f"input={shown(path)}: no such file or folder")
    found = []
    for match in place.matches(path):
        # `**` matches a folder and what is in it.
        if match.kind != FOLDER or "**" not in path:
            found += _files(place, match, source, set(), others)
    if not found:
        raise UserError(f"input={shown(path)}: no file matches")
    return found


def _files(
    place: Place, entry: Entry, source: Source, above: set[str], others: list[str]
) -> Iterator[Entry]:
    """`entry`, or the files in it where it is a folder. above: the folders that it stands in.

    others: takes the paths of those whose ending is that of no format, or whose name begins with _.
    """
    if entry.kind != FOLDER:
        if _only_datasets(source):
            raise UserError(
                f"input={shown(entry.path)} is a file, and format={source.format} wants a folder"
            )
        yield entry
        return
    if entry.identity in above:
        return  # a link to a folder that it stands in
    inside = place.entries(entry.path)
    if is_dataset(inside):
        yield from dataset_entries(place, entry.path, inside)
        return
    _refuse_tables(entry.path, inside)
    for other in inside:
        if other.name.startswith((".", "_")):
            # As Spark's _SUCCESS and _metadata; but a user may name records so.
            if other.name.startswith("_") and format_of_name(other.name) not in ("", UNKNOWN):
                others.append(other.path)
            continue
        if other.kind == FOLDER:
            yield from _files(place, other, source, above | {entry.identity}, others)
        elif _only_datasets(source):
            raise UserError(
                f"input={shown(entry.path)}: no dataset_dict.json, and no state.json with "
                "dataset_info.json: not what save_to_disk writes"
            )
        elif (
            source.format != AUTO or format_of_name(other.name) != UNKNOWN or is_foreign(other.name)
        ):
            yield other
        else:
            others.append(other.path)


def _refuse_tables(path: str, inside: Iterable[Entry]) -> None:
    """UserError for a folder whose log says which of its files still count."""
    for other in inside:
        if other.kind == FOLDER and (kind := _TABLES.get(other.name)):
            raise UserError(
                f"input={shown(path)} is a table of {kind}, whose log says which of its files "
                f"still count: write it out as Parquet, or take all: input='{shown(path)}/*.*'"
            )


def told_passed_over(paths: Iterable[str]) -> str:
    """How many files those are, of which endings, and how to have them read; empty for none."""
    by_mark: dict[bool, list[str]] = {False: [], True: []}
    for path in sorted(paths):
        by_mark[path.rpartition("/")[2].startswith("_")].append(path)
    told = [_told_endings(by_mark[False])]
    if marked := len(by_mark[True]):
        told.append(
            f"files whose names begin with _, passed over: {marked:,}; where they hold records, "
            "name them: input='FOLDER/_*'"
        )
    return "; ".join(filter(None, told))


def _told_endings(paths: Iterable[str]) -> str:
    found = (_ENDING.search(path) for path in paths)
    endings = Counter(shown(ending[0].lower()) for ending in found if ending)
    if not endings:
        return ""
    most = endings.most_common(_ENDINGS)
    left = len(endings) - len(most)
    more = f" and {plural(left, 'other ending')}" if left else ""
    named = ", ".join(f"{number:,} {ending}" for ending, number in most)
    example = most[0][0].replace("'", "?")
    return (
        f"files of other endings, passed over: {named}{more}; where they hold records, "
        f"name them: input='FOLDER/*{example}'"
    )


def _only_datasets(source: Source) -> bool:
    return source.format in ours() and ours()[source.format].only_datasets


def _check(entry: Entry) -> None:
    if entry.kind != FILE:
        raise UserError(
            f"input={shown(entry.path)} is {entry.kind}, not a file of records: {_WITHOUT_IT}"
        )
    if not entry.path.startswith(SCHEME) and not os.access(entry.path, os.R_OK):
        # Now, and not when a run of hours comes to it.
        raise UserError(
            f"cannot read {shown(entry.path)}: Permission denied: chmod u+r it, or {_WITHOUT_IT}"
        )
    try:
        entry.path.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"input={shown(entry.path)}: the file's name is no UTF-8; rename it"
        ) from None
