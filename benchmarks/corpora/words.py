"""News-like text from a word model: Zipf's law over a vocabulary, names and numbers, sentences.

Not real news: the words mean nothing, and pairs of words are independent. What a tokenizer, a hash
or a compressor meets is like it: few words often, many seldom, names that stand in one text only.
"""

import numpy as np

FUNCTION_WORDS = (
    "the of and to in a is that for it was on as with he be at by had not are but from or have an "
    "they which one you were all her she there would their we him been has when who will no more "
    "if out so up said what its about than into them can only other time new some could these two "
    "may first then do any like my now over such our man me even most made after also did many off "
    "before must well back through years where much your way down should because long each just "
    "state those people too mr how little good world make very year still see own work men day get "
    "here old life both between being under three never know same last another while us might"
)
CONTENT_WORDS, NAMES = 40_000, 60_000
# Exponent and offset of Zipf's law with Mandelbrot's term, about those of English news.
EXPONENT, OFFSET = 1.07, 2.7
NAME_FRACTION, NUMBER_FRACTION = 0.03, 0.015
SENTENCE_WORDS, CLAUSE_WORDS, PARAGRAPH_SENTENCES = 18, 11, 4
_ONSETS = ("b", "br", "c", "ch", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l",
           "m", "n", "p", "pr", "qu", "r", "s", "sh", "st", "str", "t", "th", "tr", "v", "w",
           "sp", "bl")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ee", "io", "ou")
_CODAS = ("", "", "", "", "", "", "", "", "n", "r", "s", "t", "l", "nd", "m", "ck")
_ENDINGS = ("", "", "", "", "", "", "", "s", "ed", "ing", "er", "ly", "ion", "al")
# How a word can stand: after and before what. Capitals: +4.
PLAIN, COMMA, STOP, PARAGRAPH, CAPITAL = 0, 1, 2, 3, 4
_AFTER = (" ", ", ", ". ", ".\n\n")


class WordModel:
    """Draws texts. The vocabulary is made from a seed of its own; about 100 MB while it lives."""

    def __init__(self, seed: int = 7):
        rng = np.random.default_rng(seed)
        words = list(dict.fromkeys(FUNCTION_WORDS.split() + _make_words(rng, CONTENT_WORDS)))
        names = [word.capitalize() for word in _make_words(rng, NAMES)]
        numbers = [str(number) for number in range(1, 2030)]
        weights = 1 / (np.arange(len(words)) + 1 + OFFSET) ** EXPONENT
        self.common = len(words)
        self.words = words + names + numbers
        self._cumulative = np.cumsum(weights / weights.sum())
        self._names = (len(words), len(words) + len(names))
        self._pieces = np.empty((8, len(self.words)), object)
        for form in range(8):
            self._pieces[form] = [
                (word[:1].upper() + word[1:] if form >= CAPITAL else word) + _AFTER[form % 4]
                for word in self.words
            ]

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` words as int64 indices into `words`."""
        ids = np.searchsorted(self._cumulative, rng.random(count)).clip(0, self.common - 1)
        kind = rng.random(count)
        names = np.flatnonzero(kind < NAME_FRACTION)
        numbers = np.flatnonzero(kind > 1 - NUMBER_FRACTION)
        ids[names] = rng.integers(*self._names, len(names))
        ids[numbers] = rng.integers(self._names[1], len(self.words), len(numbers))
        return ids

    def forms(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Punctuation and capitals of a text of `count` words, int64."""
        draws = rng.random(count)
        forms = np.full(count, PLAIN)
        forms[draws < 1 / CLAUSE_WORDS] = COMMA
        forms[draws < 1 / SENTENCE_WORDS] = STOP
        forms[draws < 1 / SENTENCE_WORDS / PARAGRAPH_SENTENCES] = PARAGRAPH
        ends = forms >= STOP
        forms[1:][ends[:-1]] += CAPITAL
        forms[0] += CAPITAL
        return forms

    def text(self, ids: np.ndarray, forms: np.ndarray) -> str:
        """Words and how they stand, as text that ends with a full stop."""
        return "".join(self._pieces[forms, ids].tolist()).rstrip(" ,.\n") + "."

    def title(self, ids: np.ndarray) -> str:
        words = [self.words[i] for i in ids]
        return " ".join(word[:1].upper() + word[1:] for word in words)


def _make_words(rng: np.random.Generator, count: int) -> list[str]:
    """`count` words of one to three syllables, shorter ones first as in a real vocabulary."""
    syllables = 1 + (np.arange(count) > count // 10) + (np.arange(count) > 0.85 * count)
    draws = rng.integers(0, 1 << 30, (count, 10))
    found = []
    for row, length in zip(draws.tolist(), syllables.tolist(), strict=True):
        word = ""
        for part in range(length):
            onset, vowel, coda = row[3 * part : 3 * part + 3]
            word += _ONSETS[onset % len(_ONSETS)] + _VOWELS[vowel % len(_VOWELS)]
            word += _CODAS[coda % len(_CODAS)]
        found.append(word + _ENDINGS[row[9] % len(_ENDINGS)])
    return found
