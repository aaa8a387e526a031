"""What data_prep.annotate.quality weighs, measured of many texts at once over their UTF-8 bytes.

A text at a time, this took half of ingest's time. Texts are in normal form
(data_prep.annotate.text), so that of ASCII only space, tab and line feed are white space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data_prep.hashes import STEP, first_bytes, odd_numbers, piece_hashes
from data_prep.prose import SENTENCE_ENDS, STOP_WORDS

WINDOW_CHARACTERS, END_CHARACTERS = 600, 768
# A text's number is the highest byte of a key; the caches of a processor hold so many.
MOST_TEXTS = 256
# English words are 4.7 characters long, Finnish ones 8: only text without spaces is beyond this.
LONGEST_MEAN_WORD = 15

_OTHER, _LETTER, _SPACE, _LINE_END, _SYMBOL, _DOT = range(6)
_NUMBER = np.uint64(56)  # bits below a text's number in a key


class Excerpt(NamedTuple):
    """What is looked at of a text, in UTF-8.

    characters: of the whole text. ends: the first and the last END_CHARACTERS of a longer text,
    joined without a line end: the line that is cut ends as the one that is cut into does.
    window: the first WINDOW_CHARACTERS. english: or of a language that is not known.
    """

    characters: int
    ends: bytes
    window: bytes
    english: bool


@dataclass(frozen=True)
class Measures:
    """Of n texts, in the order of quality's table; each [n], NaN where it says nothing."""

    length: np.ndarray
    word_length: np.ndarray
    letters: np.ndarray
    function: np.ndarray
    sentences: np.ndarray
    variety: np.ndarray
    repetition: np.ndarray
    symbols: np.ndarray


def excerpt(text: str, utf8: bytes, language: str = "") -> Excerpt:
    """Of a text in normal form that is not empty, and its UTF-8. language: ISO 639-1, or empty."""
    characters = len(text)
    longer = characters > 2 * END_CHARACTERS
    if len(utf8) == characters:  # ASCII, a byte each
        ends = utf8[:END_CHARACTERS] + utf8[-END_CHARACTERS:] if longer else utf8
        window = utf8[:WINDOW_CHARACTERS]
    else:
        ends = (text[:END_CHARACTERS] + text[-END_CHARACTERS:] if longer else text).encode()
        window = text[:WINDOW_CHARACTERS].encode()
    return Excerpt(characters, ends, window, language in ("", "en"))


def measures(excerpts: Sequence[Excerpt]) -> Measures:
    """Measures of 1 to MOST_TEXTS texts."""
    characters = np.array([each.characters for each in excerpts])
    words = _Words([each.window for each in excerpts])
    ends = _Ends([each.ends for each in excerpts])
    mean = words.characters / np.maximum(words.counts, 1)
    unspaced = (mean > LONGEST_MEAN_WORD) & (
        ends.sizes > 1.5 * np.minimum(characters, 2 * END_CHARACTERS)
    )
    english = np.array([each.english for each in excerpts])
    distinct, function = words.distinct()
    logs = np.log(np.maximum([distinct, words.counts], 2))
    variety = np.where(words.counts > 1, np.where(distinct > 1, logs[0], 0) / logs[1], 1)
    sentences, repetition = ends.lines()
    return Measures(
        length=np.where(unspaced, 3 * characters, characters),
        word_length=np.where(unspaced, np.nan, mean),
        letters=ends.count(_LETTER) / np.maximum(ends.sizes - ends.white, 1),
        function=np.where(english & ~unspaced, function, np.nan),
        sentences=sentences,
        variety=np.where(unspaced, np.nan, variety),
        repetition=repetition,
        symbols=ends.symbols() / (ends.white + 1),
    )


class _Joined:
    """Pieces one after another, each with `end` behind it.

    data: uint8 [b]; padded: the same and STEP bytes more. offsets: int64 [n + 1].
    wide, codes: int64 and uint32 [m], places of characters of several bytes and their _code.
    """

    def __init__(self, pieces: list[bytes], end: bytes):
        self.bytes = end.join([*pieces, bytes(STEP)])
        self.padded = np.frombuffer(self.bytes, np.uint8)
        self.data = self.padded[:-STEP]
        self.sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes + 1)])
        # A byte that no character begins with.
        self.continued = (self.data & np.uint8(0xC0)) == np.uint8(0x80)
        self.wide = np.flatnonzero(self.data >= np.uint8(0xC0))
        self.codes = _codes(self.padded, self.wide)

    def sum(self, mask: np.ndarray) -> np.ndarray:
        """int64 [n]: how often a bool [b] is true in each piece and its end."""
        counts = np.add.reduceat(mask.view(np.uint8), self.offsets[:-1], dtype=np.uint32)
        return counts.astype(np.int64)

    def marked(self, characters: np.ndarray, last: bool = False) -> np.ndarray:
        """bool [b]: true for the bytes of those wide characters, or for their last bytes alone."""
        found = np.zeros(len(self.data), bool)
        at = self.wide[np.isin(self.codes, characters)]
        if len(at):
            three = self.data[at] >= np.uint8(0xE0)
            found[at + 1 + three] = True
            if not last:
                found[at] = found[at + 1] = True
        return found


class _Words(_Joined):
    """Words are runs between white space."""

    def __init__(self, windows: list[bytes]):
        super().__init__(windows, b" ")
        data = self.data
        white = (data == ord(" ")) | (data == ord("\n")) | (data == ord("\t"))
        if len(self.wide):
            white |= self.marked(_WIDE_SPACES)
        self.characters = self.sum(~(white | self.continued))
        starts, lengths = _runs(np.flatnonzero(white))
        words = lengths > 0
        self._starts, self._lengths = starts[words], lengths[words]
        self.counts = np.diff(np.searchsorted(self._starts, self.offsets))

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [n] each: distinct words, and distinct function words."""
        count = len(self.counts)
        keys = piece_hashes(self.padded, self._starts, self._lengths)
        keys >>= np.uint64(64) - _NUMBER
        keys |= np.repeat(np.arange(count, dtype=np.uint64) << _NUMBER, self.counts)
        keys.sort()
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
        number = (keys >> _NUMBER).astype(np.int64)
        hashes = keys & ((np.uint64(1) << _NUMBER) - np.uint64(1))
        of_function = np.zeros(len(keys), bool)
        for each in _FUNCTION_HASHES:
            of_function |= hashes == each
        return (
            np.bincount(number, minlength=count),
            np.bincount(number[of_function], minlength=count),
        )


class _Ends(_Joined):
    """Heads and feet of texts."""

    def __init__(self, ends: list[bytes]):
        super().__init__(ends, b"\n")
        self._classes = np.frombuffer(self.bytes.translate(_CLASSES), np.uint8)[:-STEP]
        self._stops = np.flatnonzero(self._classes == np.uint8(_LINE_END))
        self._line_ends = self._few(self._stops)  # with the end of the text
        self.white = self.count(_SPACE) + self._line_ends - 1

    def count(self, kind: int) -> np.ndarray:
        """int64 [n]: bytes of a class."""
        return self.sum(self._classes == np.uint8(kind))

    def _few(self, at: np.ndarray) -> np.ndarray:
        """int64 [n]: how many of these places, in order, each piece has."""
        return np.diff(np.searchsorted(at, self.offsets))

    def symbols(self) -> np.ndarray:
        """int64 [n]: marks of no sentence, and ellipses in both forms."""
        found = self._few(np.flatnonzero(self._classes == np.uint8(_SYMBOL)))
        if len(self.wide):
            found += self._few(np.flatnonzero(self.marked(_ELLIPSIS, last=True)))
        dots = self._classes == np.uint8(_DOT)
        threes = np.flatnonzero(dots[:-2] & dots[1:-1] & dots[2:])
        for text in np.unique(np.searchsorted(self.offsets, threes, "right") - 1):
            start, stop = self.offsets[text : text + 2]
            found[text] += self.bytes.count(b"...", start, stop)
        return found

    def lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Fractions of the characters of lines, float64 [n] each: in those that end as sentences
        do, and in those that were there before."""
        stops = self._stops
        starts, lengths = _runs(stops)
        characters = lengths
        ended = _TERMINAL_BYTES[self.data[stops - 1]]
        if len(self.wide):
            ended = ended | self.marked(_TERMINAL_CODES, last=True)[stops - 1]
            before = np.cumsum(self.continued)
            characters = lengths - np.diff(before[stops], prepend=0)
        first = np.searchsorted(stops, self.offsets[:-1])
        total = np.maximum(np.add.reduceat(characters, first), 1)
        # An empty line has no characters, whatever the byte before its end is.
        sentences = np.add.reduceat(characters * ended, first) / total
        return sentences, self._repeated(starts, lengths) / total

    def _repeated(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """int64 [n]: characters in lines that stood further up."""
        repeated = np.zeros(len(self.sizes), np.int64)
        text = np.repeat(np.arange(len(self.sizes)), self._line_ends)
        lines = np.flatnonzero(lengths)
        # Lines that begin alike and are of one length; few texts have such lines.
        keys = first_bytes(self.padded, starts[lines], lengths[lines])
        for number, odd in zip((lengths[lines], text[lines]), odd_numbers(2, seed=1), strict=True):
            keys += number.astype(np.uint64) * odd
        order = np.argsort(keys)
        keys, alike = keys[order], text[lines][order]
        for number in np.unique(alike[1:][keys[1:] == keys[:-1]]):
            start, stop = self.offsets[number : number + 2]
            found = self.bytes[start : stop - 1].decode().split("\n")
            repeated[number] = sum(map(len, found)) - sum(map(len, set(found)))
        return repeated


def _runs(stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths, int64 [m] each, of the runs that end before each of `stops`."""
    starts = np.concatenate([[0], stops[:-1] + 1])
    return starts, stops - starts


def _codes(padded: np.ndarray, at: np.ndarray) -> np.ndarray:
    """uint32 [m]: the first three bytes of characters of several bytes as one number."""
    first, second, third = (padded[at + place].astype(np.uint32) for place in range(3))
    return first << 16 | second << 8 | np.where(first < 0xE0, np.uint32(0), third)


def _codes_of(characters: str) -> np.ndarray:
    """uint32 [m]: the codes of those of `characters` that are wide, of two or three bytes."""
    wide = [c.encode() for c in characters if not c.isascii()]
    return np.array([int.from_bytes(utf8.ljust(3, b"\0"), "big") for utf8 in wide], np.uint32)


def _classes() -> bytes:
    """The class of each byte. One of a character outside ASCII is taken as a letter's, which in
    most texts it is."""
    kinds = {" ": _SPACE, "\t": _SPACE, "\n": _LINE_END, ".": _DOT}
    kinds |= dict.fromkeys("#|<>{}\\^~", _SYMBOL)
    other = [_LETTER if chr(byte).isalpha() or byte >= 0x80 else _OTHER for byte in range(256)]
    return bytes(kinds.get(chr(byte), kind) for byte, kind in enumerate(other))


_CLASSES = _classes()
_WIDE_SPACES = _codes_of("".join(c for c in map(chr, range(0x3001)) if c.isspace()))
_ELLIPSIS = _codes_of("…")
_TERMINAL_CODES = _codes_of(SENTENCE_ENDS)
_TERMINAL_BYTES = np.isin(np.arange(256), [ord(c) for c in SENTENCE_ENDS if c.isascii()])


def _function_hashes() -> np.ndarray:
    words = _Words([" ".join(STOP_WORDS).encode()])
    return piece_hashes(words.padded, words._starts, words._lengths) >> (np.uint64(64) - _NUMBER)


_FUNCTION_HASHES = _function_hashes()
