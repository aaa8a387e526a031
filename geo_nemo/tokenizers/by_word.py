"""sentencepiece BPE a word at a time, each word once.

sentencepiece encodes a text as a whole, and merges the pair of pieces with the best score until
none is left. A piece with a space in any place but its first never comes of a merge, so nothing
merges across the front of a space, and the text's ids are its words' ids. In memory: CACHED_WORDS
words, about 200 bytes each.
"""

from pathlib import Path

import numpy as np

from geo_nemo.tokenizers.base import scrub

CACHED_WORDS = 1 << 19
LONGEST_CACHED = 48
BLANK = "\u2581"  # how sentencepiece writes a space
_UNTOUCHED = " ﬁ①½  é e\u0301 İ ß\t\u00a0\u3000x\r\n "


class WordEncoder:
    """Encodes with a model for which `why_not_by_words` has no reason."""

    name = "sentencepiece by words"

    def __init__(self, path: Path, vocab_size: int):
        self._dtype = np.min_scalar_type(vocab_size - 1)
        self._words = _Words(_open(path), self._dtype)

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids_of = self._words.__getitem__
        parts = []
        for text in texts:
            first, *words = text.split(" ")
            # Only the first word of a text may have no space before it.
            head = self._words.encode(first) if first else b""
            parts.append(head + b"".join(map(ids_of, words)))
        lengths = np.fromiter(map(len, parts), np.int64, count=len(parts)) // self._dtype.itemsize
        return np.frombuffer(b"".join(parts), self._dtype), lengths


class _Words(dict[str, bytes]):
    """Ids of " " + word, as bytes, by word; those of words that were not asked for are found."""

    def __init__(self, model, dtype: np.dtype):
        super().__init__()
        self._model = model
        self._dtype = dtype

    def __missing__(self, word: str) -> bytes:
        ids = self.encode(" " + word)
        if len(word) <= LONGEST_CACHED:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = ids
        return ids

    def encode(self, text: str) -> bytes:
        return np.array(self._model.encode(scrub(text)), self._dtype).tobytes()


def why_not_by_words(path: Path) -> str:
    """Why the ids of a text are not those of its words under this model; empty where they are."""
    model = _open(path)
    normal = [
        i
        for i in range(model.vocab_size())
        if not (model.IsControl(i) or model.IsUnknown(i) or model.IsByte(i))
    ]
    if model.normalize(_UNTOUCHED) != _UNTOUCHED.replace(" ", BLANK):
        return "the model changes white space or characters before it encodes"
    # A user's own symbol has a real space.
    pieces = [model.id_to_piece(i) for i in normal]
    if any(BLANK in piece[1:] or " " in piece for piece in pieces):
        return "the model has pieces of more than one word"
    if model.IsUnknown(model.piece_to_id(BLANK)):
        return "the model has no piece for a space"
    # The scores of BPE are ranks. Those of a unigram model are summed over a text, so that rounding
    # may choose otherwise in a word than in the text.
    if any(not float(model.get_score(i)).is_integer() for i in normal):
        return "the model is not BPE"
    return ""


def _open(path: Path):
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_proto=path.read_bytes())
