"""A corpus without some documents: files that hold none of them are linked, the others filtered."""

import io
import tarfile
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_prep.corpus_out.parquet_out import parquet_options
from data_prep.corpus_out.publish import link_or_copy
from data_prep.corpus_out.summary import SUMMARY_NAME, CorpusFile, CorpusSummary, read_summary
from data_prep.parts import read_part
from data_prep.tokenise.part_shards import content_hashes
from geo_nemo.common.digests import file_digest
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import write_synced
from geo_nemo.common.folders import building
from geo_nemo.common.progress import Progress, no_progress


def corpus_without(
    folder: Path, out: Path, hashes: np.ndarray, progress: Progress = no_progress
) -> int:
    """Make the corpus `out` of that in `folder` without documents of these hashes; how many went.

    hashes: as a store has them, the first 64 bits, uint64 [n]. In memory: a row group, or a text.
    Raises UserError where `folder` is no corpus or damaged, or `out` exists.
    """
    summary = check_corpus(folder, out)
    files, gone = {}, 0
    with building(out) as partial:
        for done, (name, file) in enumerate(summary.files.items()):
            progress("corpus", done, len(summary.files), name)
            read, kept, text_bytes = _filtered(summary, folder / name, partial / name, hashes)
            if read != file.documents:
                raise _damaged(folder / name, f"{read} of {file.documents} documents")
            gone += file.documents - kept
            if kept == file.documents:
                (partial / name).unlink(missing_ok=True)
                link_or_copy(folder / name, partial / name)
                files[name] = file
            elif kept:
                files[name] = CorpusFile(
                    split=file.split,
                    documents=kept,
                    bytes=(partial / name).stat().st_size,
                    text_bytes=text_bytes,
                    xxh3_128=file_digest(partial / name),
                )
            else:
                (partial / name).unlink()
        summary = summary.model_copy(update={"files": files})
        write_synced(partial / SUMMARY_NAME, summary.model_dump_json(indent=1).encode() + b"\n")
    return gone


def check_corpus(folder: Path, out: Path) -> CorpusSummary:
    """What the corpus in `folder` tells of itself; `UserError` if it is none, or `out` exists."""
    if out.exists():
        raise UserError(f"{out} exists: remove it, or give another --corpus-out")
    return read_summary(folder)


def _filtered(
    summary: CorpusSummary, source: Path, target: Path, hashes: np.ndarray
) -> tuple[int, int, int]:
    """Documents that are read and that stay, and UTF-8 bytes of the texts of these.

    UserError where `source` is missing or damaged.
    """
    filtered = _parquet if summary.format == "parquet" else _webdataset
    try:
        return filtered(source, target, hashes)
    except FileNotFoundError:
        raise UserError(f"{source} is missing: repeat geo-nemo prep run") from None
    except (tarfile.TarError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise _damaged(source, " ".join(str(error).split())[:120]) from None


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged ({reason}): delete it and prepare again")


def _parquet(source: Path, target: Path, hashes: np.ndarray) -> tuple[int, int, int]:
    schema = pq.read_schema(source)
    read = documents = text_bytes = 0
    with pq.ParquetWriter(target, schema, **parquet_options(schema)) as writer:
        for batch in read_part(source):
            read += len(batch)
            stay = ~np.isin(content_hashes(batch["hash"]), hashes)
            kept = batch.filter(pa.array(stay))
            if len(kept):
                writer.write_batch(kept)
            documents += len(kept)
            text_bytes += pc.sum(pc.binary_length(kept["text"])).as_py() or 0
    return read, documents, text_bytes


def _webdataset(source: Path, target: Path, hashes: np.ndarray) -> tuple[int, int, int]:
    gone = set(hashes.tolist())
    read = documents = text_bytes = 0
    with (
        tarfile.open(source, "r|") as tar,
        tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as to,
    ):
        stays = True
        for member in tar:
            file = tar.extractfile(member)
            if file is None:
                raise ValueError(f"{member.name} is no file")
            if member.name.endswith(".json"):
                content = file.read()
                stays = int(orjson.loads(content)["hash"][:16], 16) not in gone
                file = io.BytesIO(content)
            else:  # the text, which ends a document
                read += 1
                documents += stays
                text_bytes += stays * member.size
            if stays:
                to.addfile(member, file)
    return read, documents, text_bytes
