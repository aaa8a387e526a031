"""Finds a document of a split by its number, its content hash or its text."""

import numpy as np

from data_prep.store_tools.columns import documents
from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.store import TokenStore

REPORT_EVERY = 256


def find_document(
    store: TokenStore,
    split: str,
    index: int | None = None,
    content_hash: str | None = None,
    text: str | None = None,
    progress: Progress = no_progress,
) -> int:
    """Number of the document in the split.

    content_hash: 16 hex digits, alone. text: searched in title and body, from `index` on.
    Raises UserError where there is none, or the words do not go together.
    """
    total = store.split(split).num_documents
    if content_hash is not None:
        if index is not None or text is not None:
            raise UserError("--id names one document: give it without INDEX and --find")
        return _by_hash(store, split, content_hash)
    index = index or 0
    if not 0 <= index < total:
        raise UserError(
            f"split {split} of {store.root} has {total:,} documents: INDEX goes from 0 to "
            f"{total - 1}, not {index}"
        )
    return index if text is None else _by_text(store, split, index, text, total, progress)


def _by_hash(store: TokenStore, split: str, content_hash: str) -> int:
    try:
        wanted = np.uint64(int(content_hash.removeprefix("0x"), 16))
    except (ValueError, OverflowError):
        raise UserError(
            f"--id {content_hash}: give 16 hex digits, as geo-nemo store inspect shows them"
        ) from None
    start = 0
    for shard in store.shards(split):
        found = np.flatnonzero(shard.content_hash == wanted)
        if len(found):
            return start + int(found[0])
        start += shard.num_documents
    others = [
        name
        for name in store.splits
        if name != split and any((s.content_hash == wanted).any() for s in store.shards(name))
    ]
    hint = f"it is in --split {others[0]}" if others else "no other split has it"
    raise UserError(f"no document of split {split} has --id {content_hash}; {hint}")


def _by_text(
    store: TokenStore, split: str, index: int, text: str, total: int, progress: Progress
) -> int:
    tokenizer = store.tokenizer()
    start = 0
    for shard in store.shards(split):
        rows = np.arange(max(0, index - start), shard.num_documents)
        if len(rows):
            for row, (_, title, body) in zip(
                rows.tolist(), documents(store, shard, rows, with_path=False), strict=True
            ):
                if text in tokenizer.decode(title) or text in tokenizer.decode(body):
                    return start + row
                if row % REPORT_EVERY == 0:
                    progress("search", start + row, total)
        start += shard.num_documents
    raise UserError(f"no document of split {split} from {index} on has the text {text!r}")
