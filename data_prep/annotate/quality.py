"""How much a text reads like an article: 0 to 100, from counts alone.

Eight signals, each from 0 to 1, of which the weighted geometric mean is taken, so that one bad sign
is not outweighed by many good ones (none counts below 0.05). A signal is 1 in a range, and falls
linearly (the length: with its logarithm) to 0 at a bound:

| signal      | weight | measure                                              | 0 at   | 1 from  |
|-------------|--------|------------------------------------------------------|--------|---------|
| length      | 0.20   | characters, one of a script without spaces for three | 50     | 1,500   |
| word_length | 0.10   | mean characters of a word [G]                        | 3, 10  | 4 to 7  |
| letters     | 0.20   | letters, of what is no white space [G]               | 0.5    | 0.9     |
| function    | 0.15   | distinct ones of eight English function words [G]    | 0      | 3       |
| sentences   | 0.15   | bytes of lines that end as a sentence does [C, F]    | 0      | 0.8     |
| variety     | 0.10   | log of distinct words by log of words (Herdan's C)   | 0.6    | 0.82    |
| repetition  | 0.05   | characters in lines that were there before [G, F]    | 0.2    | 0       |
| symbols     | 0.05   | # | < > { } \\ ^ ~ … and ... , by word [G]            | 0.1    | 0       |

Of a longer text, the first and last 768 characters are looked at, so that it costs no more than
a short one, and its foot is seen. Words are runs between white space; word_length, function and
variety look at the first 600 characters, as variety falls with length. English is meant: where the
language is known to be another, `function` is 1 for all texts; where it is not known, compare
qualities within a language only. A script without spaces (Chinese, Thai) has 1 in all three.

[G] Rae et al. 2021 (Gopher), arXiv 2112.11446, A.1.1: mean word length 3 to 10, 80% of words with a
letter, two of eight stop words, at most 0.1 # and ... a word, at most 20% of characters in
duplicate lines. [C] Raffel et al. 2020 (C4), JMLR 21(140), 2.2: lines that end in terminal
punctuation. [F] Penedo et al. 2024 (FineWeb), arXiv 2406.17557: at least 12% of such lines.
Herdan, Type-token Mathematics, 1960. Bounds at 1, weights and the mean are this project's choice;
nobody has tuned them on a model.
"""

import math
from dataclasses import dataclass

WINDOW_CHARACTERS, END_CHARACTERS = 600, 768
FUNCTION_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
FLOOR = 0.05
# With quotation marks and brackets that close after the full stop, and those of other scripts.
TERMINAL = frozenset(".!?…\"'”’»)]。！？」』।॥؟۔።")

# A byte of a character outside ASCII counts as a letter, which in most texts it is.
_LETTERS = bytes(range(ord("A"), ord("Z") + 1)) + bytes(range(ord("a"), ord("z") + 1))
_LETTERS += bytes(range(0x80, 0x100))
_SYMBOLS = b"#|<>{}\\^~"
_ELLIPSIS = "…".encode()
# English words are 4.7 characters long, Finnish ones 8: only text without spaces is beyond this.
_LONGEST_MEAN_WORD = 15


@dataclass(slots=True)  # frozen would double the time it takes to make one
class Signals:
    """What `score` weighs: the measures of the table, before they become signals.

    function is None where it says nothing; word_length and variety are then None too if the text
    is of a script without spaces.
    """

    length: int
    word_length: float | None
    letters: float
    function: int | None
    sentences: float
    variety: float | None
    repetition: float
    symbols: float


def quality(text: str, language: str = "") -> int:
    """Quality of `text`, 0 to 100. language: ISO 639-1, where it is known."""
    return score(measure(text, language))


def score(signals: Signals) -> int:
    """The weighted geometric mean of the signals, times 100, rounded."""
    length, letters, mean = signals.length, signals.letters, signals.word_length
    total = 0.20 * _log(math.log(length / 50) / _LENGTH_RANGE if length > 50 else 0.0)
    total += 0.20 * _log((letters - 0.5) / 0.4)
    total += 0.15 * _log(signals.sentences / 0.8)
    total += 0.05 * _log(1 - signals.repetition / 0.2) + 0.05 * _log(1 - signals.symbols / 0.1)
    if mean is not None:
        total += 0.10 * _log(mean - 3 if mean < 4 else (10 - mean) / 3)
    if signals.variety is not None:
        total += 0.10 * _log((signals.variety - 0.6) / 0.22)
    if signals.function is not None:
        total += 0.15 * _log(signals.function / 3)
    return round(100 * math.exp(total))


_LENGTH_RANGE = math.log(1500 / 50)
_LOG_FLOOR = math.log(FLOOR)


def _log(signal: float) -> float:
    return 0.0 if signal >= 1 else math.log(signal) if signal > FLOOR else _LOG_FLOOR


def measure(text: str, language: str = "") -> Signals:
    """The measures of a text that is not empty and has no lone surrogate."""
    length = len(text)
    if length > 2 * END_CHARACTERS:
        # Joined without a line end: the line that is cut ends as the one that is cut into does.
        text = text[:END_CHARACTERS] + text[-END_CHARACTERS:]
    utf8 = text.encode()
    size = len(utf8)
    rest = utf8.translate(None, _LETTERS)  # the fifth of the text that is no letter
    solid_rest = rest.translate(None, b" \n\t")
    white = len(rest) - len(solid_rest)
    solid = size - white
    symbols = len(solid_rest) - len(solid_rest.translate(None, _SYMBOLS))
    if b"..." in rest:
        symbols += text.count("...")
    if size != len(text):
        symbols += utf8.count(_ELLIPSIS)
    words = text[:WINDOW_CHARACTERS].split()
    count = len(words)
    mean = len("".join(words)) / count if count else 0.0
    unspaced = mean > _LONGEST_MEAN_WORD and size > 1.5 * len(text)
    if unspaced:
        length *= 3
    function = variety = None
    if not unspaced:
        distinct = set(words)
        variety = math.log(len(distinct)) / math.log(count) if count > 1 else 1.0
        if language in ("", "en"):
            function = len(FUNCTION_WORDS & distinct)
    sentences, repetition = _lines(text)
    return Signals(
        length=length,
        word_length=None if unspaced else mean,
        letters=1 - len(solid_rest) / solid if solid else 0.0,
        function=function,
        sentences=sentences,
        variety=variety,
        repetition=repetition,
        symbols=symbols / (white + 1),
    )


def _lines(text: str) -> tuple[float, float]:
    """Share of characters in lines that end as sentences do, and in lines that repeat another."""
    lines = text.split("\n")
    ended = 0
    for line in lines:
        if line and line[-1] in TERMINAL:
            ended += len(line)
    characters = len(text) - len(lines) + 1
    if not characters:
        return 0.0, 0.0
    unique = set(lines)
    repeated = characters - sum(map(len, unique)) if len(unique) < len(lines) else 0
    return ended / characters, repeated / characters
