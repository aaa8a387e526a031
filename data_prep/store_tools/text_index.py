"""Full-text index of a store, on disk: which documents hold a phrase. tantivy makes and reads it.

    <folder>/            tantivy's files: the words of each text with their places, no text
    <folder>/trace.json  written last: the store's hash, so that another store's index is not taken

Some half of the texts' size on disk; in memory, tantivy's buffer while it is made.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.store_tools.columns import documents
from data_prep.store_tools.output import workplace
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import read_json, sync_tree, write_whole
from geo_nemo.common.folders import replace_folder
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import TEXTS_NAME

FORMAT = 1
BUFFER_BYTES = 256 << 20
_LONGEST_WORD = 100
_WORDS = "words"


@dataclass(frozen=True)
class Place:
    """A document by its split and its number in it."""

    split: str
    number: int


class TextIndex:
    """An index that is there. Words are lower-case runs of letters and digits."""

    def __init__(self, folder: Path, splits: Sequence[str]):
        tantivy = _tantivy()
        self._tantivy, self._splits = tantivy, tuple(splits)
        self._analyzer = _analyzer(tantivy)
        index = tantivy.Index.open(str(folder))
        index.register_tokenizer(_WORDS, self._analyzer)
        self._schema, self._searcher = index.schema, index.searcher()

    def words(self, text: str) -> list[str]:
        """The words of a text, as the index has them."""
        return self._analyzer.analyze(text)

    def holding(self, words: Sequence[str], at_most: int) -> tuple[list[Place], int]:
        """Documents in which two or more words stand in a row; how many there are in all."""
        query = self._tantivy.Query.phrase_query(self._schema, "text", list(words))
        found = self._searcher.search(query, at_most)
        places = []
        for _, address in found.hits:
            kept = self._searcher.doc(address).to_dict()
            places.append(Place(self._splits[kept["split"][0]], kept["number"][0]))
        return places, found.count


def words_of(text: str) -> list[str]:
    """The words of a text, as every index has them. Raises UserError without tantivy."""
    return _analyzer(_tantivy()).analyze(text)


def text_index(store: TokenStore, folder: Path, progress: Progress = no_progress) -> TextIndex:
    """The index of a store in `folder`, made now where there is none, or one of another store.

    Whole or absent. Raises UserError where tantivy is not installed, where another process makes
    it, or where something else stands in `folder`.
    """
    splits = tuple(store.splits)
    made_from = {"format": FORMAT, "store": store.hash, "splits": list(splits)}
    if not folder.exists() or _made_from(folder) != made_from:
        _tantivy()
        with workplace(folder) as work:
            made = work / "index"
            made.mkdir()
            _write(store, made, progress)
            write_whole(made / TEXTS_NAME, json.dumps(made_from).encode())
            sync_tree(made)
            replace_folder(made, folder)
    return TextIndex(folder, splits)


def _made_from(folder: Path) -> dict[str, Any] | None:
    if not (folder / TEXTS_NAME).is_file():
        if any(folder.iterdir()):
            raise UserError(f"{folder} exists and is no index of texts: give another --index")
        return None
    return read_json(folder / TEXTS_NAME, f"remove {folder}; it is then made again")


def _write(store: TokenStore, folder: Path, progress: Progress) -> None:
    tantivy = _tantivy()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", stored=False, tokenizer_name=_WORDS, index_option="position")
    builder.add_unsigned_field("split", stored=True)
    builder.add_unsigned_field("number", stored=True)
    index = tantivy.Index(builder.build(), path=str(folder))
    index.register_tokenizer(_WORDS, _analyzer(tantivy))
    writer = index.writer(heap_size=BUFFER_BYTES, num_threads=min(4, os.cpu_count() or 1))
    total = sum(split.documents for split in store.manifest.splits.values())
    for done, (split, number, text) in enumerate(_texts(store)):
        document = tantivy.Document()
        document.add_text("text", text)
        document.add_unsigned("split", split)
        document.add_unsigned("number", number)
        writer.add_document(document)
        if done % 1024 == 0:
            progress("index texts", done, total)
    writer.commit()
    writer.wait_merging_threads()
    progress("index texts", total, total)


def _texts(store: TokenStore) -> Iterator[tuple[int, int, str]]:
    """Place of the split, number of the document, title and body: of every document."""
    tokenizer = store.tokenizer()
    for place, split in enumerate(store.splits):
        number = 0
        for shard in store.shards(split):
            for _, title, body in documents(store, shard, with_path=False):
                yield place, number, f"{tokenizer.decode(title)}\n{tokenizer.decode(body)}"
                number += 1


def _analyzer(tantivy: Any) -> Any:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    filters = tantivy.Filter.lowercase(), tantivy.Filter.remove_long(_LONGEST_WORD)
    for each in filters:
        builder = builder.filter(each)
    return builder.build()


def _tantivy() -> Any:
    try:
        import tantivy
    except ImportError:
        raise UserError("texts are searched with tantivy: pip install 'geo-nemo[trace]'") from None
    return tantivy
