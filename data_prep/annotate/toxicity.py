"""How much of a document's words stand in a list of the user's own: a share, not a judgement.

A list does not know what a text says: a report on abuse quotes it, and a polite text may be
poisonous. No list comes with the package: which words are meant is for who selects by them.
"""

import hashlib
import re
import sys
import unicodedata
from collections.abc import Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from data_prep.document import Document
from geo_nemo.common.errors import UserError

# Written without spaces between words: a list cannot be found by words.
UNSPACED = frozenset(("zh", "ja", "th", "lo", "km", "my", "bo", "yue", "wuu"))
DIGITS = 4
_SETTING = "annotate.options.toxicity.words"
_Phrases = dict[str, list[tuple[str, ...]]]


class Toxicity:
    """The field `toxicity`: the fraction of words of title and text that a list has, 0 to 1.

    words: a file of words and phrases, one a line, in any case; a line that begins with # is
    passed over. A dict has a file by language (`en`), and gives documents of other languages no
    value; nor has one of a language written without spaces any. A record's own value is kept.
    """

    version = "1"
    fields: ClassVar = {"toxicity": "number"}

    def __init__(self, words: str | Mapping[str, str] | None = None):
        if not words or not isinstance(words, str | Mapping):
            raise UserError(
                f"{_SETTING} names no list: write "
                "'annotate.options={toxicity: {words: words.txt}}', a file with a word a line"
            )
        files = {"": words} if isinstance(words, str) else words
        self._lists: dict[str, _Phrases] = {}
        read = hashlib.sha256()
        for language, path in files.items():
            self._lists[language], content = _phrases(path)
            read.update(b"%d %b" % (len(content), f"{language} ".encode() + content))
        self.fingerprint = read.hexdigest()[:16]

    def __call__(self, document: Document, said: Mapping[str, Any]) -> dict[str, Any]:
        phrases = self._lists.get("") or self._lists.get(document.language)
        if "toxicity" in said or phrases is None or document.language in UNSPACED:
            return {}
        words = words_of(f"{document.title}\n{document.text}")
        if not words:
            return {}
        listed = 0 if phrases.keys().isdisjoint(words) else _listed(words, phrases)
        return {"toxicity": round(listed / len(words), DIGITS)}


def words_of(text: str) -> list[str]:
    """Runs of letters, marks and digits of any script, without regard to case."""
    return _word().findall(unicodedata.normalize("NFC", text.casefold()))


def _listed(words: list[str], phrases: _Phrases) -> int:
    """How many words are in a phrase; of several that begin at a place, the longest counts."""
    found = place = 0
    while place < len(words):
        size = 0
        for phrase in phrases.get(words[place], ()):
            if len(phrase) > size and tuple(words[place : place + len(phrase)]) == phrase:
                size = len(phrase)
        found, place = found + size, place + max(size, 1)
    return found


def _phrases(path: Any) -> tuple[_Phrases, bytes]:
    if not isinstance(path, str):
        raise UserError(f"{_SETTING}={path!r:.60} is no path of a file")
    try:
        content = Path(path).read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{_SETTING}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(
            f"{_SETTING}: {path} is not UTF-8: iconv -f cp1252 -t utf-8 it first"
        ) from None
    found: _Phrases = {}
    for line in lines:
        if not line.startswith("#") and (phrase := tuple(words_of(line))):
            found.setdefault(phrase[0], []).append(phrase)
    if not found:
        raise UserError(f"{_SETTING}: {path} has no word: write one a line")
    return found, content


@cache
def _word() -> re.Pattern[str]:
    """Of words; Python's own \\w has no vowel signs, and would cut Hindi words into letters."""
    marks = (c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c))[0] == "M")
    runs = groupby(enumerate(marks), key=lambda pair: pair[1] - pair[0])
    codes = [[code for _, code in run] for _, run in runs]
    ranges = "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in codes)
    return re.compile(f"[\\w{ranges}]+")
