"""Words and word n-grams of many texts at once, as 64-bit hashes, in NumPy over the UTF-8 bytes.

1. A word is a run of letters, digits and underscores in lower case. Bytes tell: of ASCII those
   that are alphanumeric, beyond it all but the common punctuation (Latin-1 signs, dashes and
   quotes, CJK punctuation).
2. Scripts that put no space between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer) and what
   lies beyond the basic plane (emoji) give a word for each character.
3. An n-gram is a sum of its words' hashes, each times an odd number of its place, then mixed.

Memory: about 12 bytes a byte of text of one call, so callers cut texts by `blocks`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data_prep.hashes import STEP, mix, odd_numbers, piece_hashes

BLOCK_BYTES = 1 << 19
_WORD, _OWN_3, _OWN_4 = 1, 2, 3


def _byte_classes() -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    for byte in range(128):
        classes[byte] = chr(byte).isalnum() or chr(byte) == "_"
    classes[0x80:] = _WORD
    classes[0xE3:0xEA] = _OWN_3
    classes[0xF0:0xF5] = _OWN_4
    return classes


# As bytes.translate takes it, which is several times as quick as np.take.
_CLASS = _byte_classes().tobytes()
# First byte, and range of the second, of three-byte characters without spaces between words: Thai
# and Lao, Burmese, Khmer.
_SPACELESS = ((0xE0, 0xB8, 0xBB), (0xE1, 0x80, 0x82), (0xE1, 0x9E, 0x9F))
# First byte, range of the second, and width of punctuation: U+0080 to U+00BF, U+2000 to U+207F,
# U+3000 to U+303F.
_PUNCTUATION = ((0xC2, 0x80, 0xBF, 2), (0xE2, 0x80, 0x81, 3), (0xE3, 0x80, 0x80, 3))


@dataclass(frozen=True)
class Hashes:
    """values: uint64 [m], of all texts; those of text i are values[offsets[i]:offsets[i + 1]]."""

    values: np.ndarray
    offsets: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """int64 [n]: how many each text has."""
        return np.diff(self.offsets)


def text_bytes(texts) -> tuple[np.ndarray, np.ndarray]:
    """A pyarrow string array's bytes, in lower case where they are not ASCII, and int64 offsets."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if texts.type != pa.large_string():
        texts = texts.cast(pa.large_string())
    data, offsets = _buffers(texts)
    if len(data) and data.max() >= 0x80:
        data, offsets = _buffers(pc.utf8_lower(texts))
    return data, offsets


def _buffers(texts) -> tuple[np.ndarray, np.ndarray]:
    _, offset_buffer, data_buffer = texts.buffers()
    if offset_buffer is None or not len(texts):
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def blocks(offsets: np.ndarray, limit: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    """Runs of texts [first, last) of at most `limit` bytes each, or of one text."""
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + limit, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def word_hashes(data: np.ndarray, offsets: np.ndarray) -> Hashes:
    """Hashes of the words of texts: UTF-8 bytes, uint8 [b], and int64 [n + 1] offsets into them.

    Letters of ASCII are taken as lower case; others as they are.
    """
    data = data[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    raw = data.tobytes()
    inside = np.zeros(len(data) + 2, bool)
    forced = np.unique(offsets)
    if len(data) and data.max() >= 0x80:
        classes = np.frombuffer(bytearray(raw.translate(_CLASS)), np.uint8)
        forced = np.union1d(forced, _mark_beyond_ascii(data, classes))
        inside[1:-1] = classes != 0
    else:
        inside.view(np.uint8)[1:-1] = np.frombuffer(raw.translate(_CLASS), np.uint8)
    # Words begin and end where `inside` changes, and at borders that have a word on both sides.
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    both = forced[inside[forced] & inside[forced + 1]]
    if len(both):
        edges = np.insert(edges, np.repeat(np.searchsorted(edges, both), 2), np.repeat(both, 2))
    starts = np.ascontiguousarray(edges[::2])
    lower = np.frombuffer(raw.lower() + bytes(STEP), np.uint8)
    hashes = piece_hashes(lower, starts, edges[1::2] - starts)
    return Hashes(hashes, np.searchsorted(starts, offsets))


def _mark_beyond_ascii(data: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Give punctuation class 0; where words of one character begin and end, int64 [m]."""
    second = np.append(data[1:], np.uint8(0))
    wide = np.flatnonzero(data >= 0xC0)  # few, as a rule: looked for once
    leads = data[wide]
    for lead, low, high in _SPACELESS:
        at = wide[leads == lead]
        classes[at[(second[at] >= low) & (second[at] <= high)]] = _OWN_3
    borders = []
    for kind, width in ((_OWN_3, 3), (_OWN_4, 4)):
        at = wide[classes[wide] == kind]
        borders += [at, at + width]
    for lead, low, high, width in _PUNCTUATION:
        at = wide[leads == lead]
        at = at[(second[at] >= low) & (second[at] <= high)]
        for place in range(width):
            classes[at + place] = 0
    return np.concatenate(borders)


def ngram_hashes(words: Hashes, n: int) -> Hashes:
    """Hashes of the n-grams of words.

    A text of fewer words has one n-gram, of all its words, which equals no n-gram of n words; a
    text of no words has none.
    """
    total = len(words.values)
    counts = words.counts
    grams = gram_sums(words.values, n)
    kept = np.ones(total, bool)
    # No n-gram begins at a text's last n - 1 words. Those before the text's own first word belong
    # to texts that end there or before, so that they are out as well.
    last = words.offsets[1:, None] - np.arange(1, n)
    kept[last[last >= 0]] = False
    short = np.flatnonzero((counts > 0) & (counts < n))
    first = words.offsets[short]
    kept[first] = True
    grams[first] = short_sums(words, short)
    mix(grams)
    per_text = np.where(counts >= n, counts - n + 1, counts > 0)
    return Hashes(grams[kept], np.concatenate([[0], np.cumsum(per_text)]))


def gram_sums(values: np.ndarray, n: int) -> np.ndarray:
    """uint64 [w]: the sum over the n words from each on; words beyond the end count as 0."""
    place = odd_numbers(n, seed=1)
    sums = values * place[0]
    for j in range(1, min(n, len(values))):
        sums[: len(values) - j] += values[j:] * place[j]
    return sums


def short_sums(words: Hashes, texts: np.ndarray) -> np.ndarray:
    """uint64 [t]: the sum over all words of each of `texts`, told apart by how many they are."""
    counts = words.counts[texts]
    sums = mix(counts.astype(np.uint64) + np.uint64(0x243F6A8885A308D3))
    place = odd_numbers(int(counts.max(initial=0)), seed=1)
    for j in range(len(place)):
        longer = counts > j
        sums[longer] += words.values[words.offsets[texts[longer]] + j] * place[j]
    return sums
