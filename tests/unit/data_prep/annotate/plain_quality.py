"""Quality of one text in plain Python: what data_prep.annotate.quality must equal."""

import math
from dataclasses import dataclass

WINDOW_CHARACTERS, END_CHARACTERS = 600, 768
FUNCTION_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
FLOOR = 0.05
# With quotation marks and brackets that close after the full stop, and those of other scripts.
TERMINAL = frozenset(".!?…\"'”’»)]。！？」』।॥؟۔።")

_LETTERS = bytes(range(ord("A"), ord("Z") + 1)) + bytes(range(ord("a"), ord("z") + 1))
_LETTERS += bytes(range(0x80, 0x100))
_SYMBOLS = b"#|<>{}\\^~"
_ELLIPSIS = "…".encode()
_LONGEST_MEAN_WORD = 15


@dataclass(frozen=True)
class Signals:
    """Measures by their names; None where one says nothing."""

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
    """Fraction of characters in lines that end as sentences do, and that repeat another."""
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
