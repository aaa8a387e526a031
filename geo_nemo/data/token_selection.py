"""Which tokens of a store's texts are trained: a bit a token, in a folder beside the store.

    kept.bin              bits of all documents of a split in order, title and body of each
    token_selection.json  written last: store, split, number of tokens, hash, and how it was made

A token that is left out is read as ever and has weight 0 in the loss.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from geo_nemo.common.digests import file_digest
from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_json
from geo_nemo.store import Split

RECORD, BITS = "token_selection.json", "kept.bin"
FORMAT = 1
_AGAIN = "make it anew with geo-nemo select-tokens"


class TokenSelection:
    """The selection in `folder` for a split; `UserError` where it is not of these texts.

    store_hash: of the split's store; None does not compare it. check_content: read all bits and
    compare them with their hash; otherwise their number alone. identity: of its bits. record: how
    it was made.
    """

    def __init__(
        self,
        folder: str | Path,
        split: Split,
        store_hash: str | None = None,
        check_content: bool = False,
    ):
        self.record = _record(Path(folder))
        self.identity = str(self.record["xxh3_128"])
        ends = np.cumsum(split.title_lengths.astype(np.int64) + split.body_lengths)
        # int64 [documents + 1]: where each document's tokens begin.
        self._starts = np.concatenate([[0], ends])
        self._titles = split.title_lengths
        same_store = store_hash in (None, self.record["store"])
        if not same_store or self.record["split"] != split.name:
            raise UserError(
                f"token_selection={folder} is of split {self.record['split']} of the store "
                f"{self.record['store'][:16]}, and this run reads another: {_AGAIN}"
            )
        path = Path(folder) / BITS
        size = -(-int(self._starts[-1]) // 8)
        if not path.is_file() or path.stat().st_size != size:
            raise UserError(f"token_selection={folder}: {path.name} is not whole: {_AGAIN}")
        if check_content and file_digest(path) != self.identity:
            raise UserError(
                f"token_selection={folder}: {path.name} was changed since it was made: {_AGAIN}"
            )
        self._bits = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)

    def texts(self, document: int) -> tuple[np.ndarray, np.ndarray]:
        """1 for each token of a document's title and body that is trained, uint8 [n], [m]."""
        start, stop = self._starts[document : document + 2].tolist()
        first = start // 8
        bits = np.unpackbits(self._bits[first : -(-stop // 8)], bitorder="little")
        kept = bits[start - 8 * first : stop - 8 * first]
        title = int(self._titles[document])
        return kept[:title], kept[title:]


def selection_identity(folder: str | Path) -> str:
    """The hash of a selection's bits, by its record."""
    return str(_record(Path(folder))["xxh3_128"])


def write_selection(
    folder: Path,
    kept: Iterable[np.ndarray],
    split: str,
    store_hash: str,
    about: dict[str, Any],
) -> tuple[int, int]:
    """Fill an empty folder; returns the number of tokens, and of those that are kept.

    kept: bool [tokens] of each document in order, title and body.
    """
    tokens = trained = 0
    digest = xxhash.xxh3_128()
    rest = np.zeros(0, bool)
    with (folder / BITS).open("wb") as file:
        for bits in kept:
            tokens, trained = tokens + len(bits), trained + int(bits.sum())
            together = np.concatenate([rest, bits])
            whole = len(together) // 8 * 8
            _put(file, digest, together[:whole])
            rest = together[whole:]
        _put(file, digest, rest)
    record = {
        "format": FORMAT,
        "store": store_hash,
        "split": split,
        "tokens": tokens,
        "kept": trained,
        "xxh3_128": digest.hexdigest(),
        **about,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    return tokens, trained


def _put(file: BinaryIO, digest: Any, bits: np.ndarray) -> None:
    packed = np.packbits(bits, bitorder="little").tobytes()
    file.write(packed)
    digest.update(packed)


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    try:
        record = parse_json(path.read_bytes())
        if record["format"] == FORMAT and {"store", "split", "xxh3_128"} <= record.keys():
            return dict(record)
    except OSError as error:
        raise UserError(f"token_selection={folder}: {path}: {error.strerror}; {_AGAIN}") from None
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(f"token_selection={folder}: {path.name} is no record of one: {_AGAIN}")
