"""Where a text comes from: documents of a store that share runs of words with it.

1. The whole text is looked for as a phrase.
2. Where no document holds it, each run of `run` words of it is; documents that hold one are read,
   and ranked by the longest run that they share.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.store_tools.text_index import Place, TextIndex, words_of
from geo_nemo.common.errors import UserError
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store import TokenStore

FEWEST_WORDS = 3
# Documents that one run of words may name, and that are read to be compared.
_OF_A_RUN, _COMPARED = 50, 200


@dataclass(frozen=True)
class Source:
    """A document that shares words with the text.

    hash: of its content, 16 hex digits. words: the longest run that it shares with the text, from
    word `first` of the text on, `shared` words. covered: words of the text in any shared run.
    """

    place: Place
    hash: str
    record: MetadataRecord
    first: int
    shared: int
    covered: int
    excerpt: str


@dataclass(frozen=True)
class Traced:
    """words: of the text. whole: documents that hold all of it, counted. sources: best first."""

    words: int
    whole: int
    sources: tuple[Source, ...]


def trace(store: TokenStore, index: TextIndex, text: str, run: int = 8, top: int = 10) -> Traced:
    """Documents that share a run of `run` words, or the whole text if it is shorter.

    Raises UserError for a text of fewer than 3 words.
    """
    words = check_words(text)
    places, whole = index.holding(words, max(top, 1))
    if not whole and len(words) > run:
        named: Counter[Place] = Counter()
        for first in range(len(words) - run + 1):
            named.update(index.holding(words[first : first + run], _OF_A_RUN)[0])
        places = [place for place, _ in named.most_common(_COMPARED)]
    found = [_compared(store, index, place, words, min(run, len(words))) for place in places]
    found.sort(key=lambda s: (-s.shared, -s.covered, s.place.split, s.place.number))
    return Traced(len(words), whole, tuple(found[:top]))


def check_words(text: str) -> list[str]:
    """Its words; `UserError` where they are too few to be looked for."""
    words = words_of(text)
    if len(words) < FEWEST_WORDS:
        raise UserError(f"give a text of {FEWEST_WORDS} words or more, not of {len(words)}")
    return words


def _compared(
    store: TokenStore, index: TextIndex, place: Place, words: Sequence[str], run: int
) -> Source:
    split, tokenizer = store.split(place.split), store.tokenizer()
    title, body = (tokenizer.decode(part(place.number)) for part in (split.title, split.body))
    theirs = index.words(f"{title}\n{body}")
    first, at, shared, covered = longest_run(words, theirs, run)
    return Source(
        place,
        f"{int(split.content_hash[place.number]):016x}",
        split.record(place.number),
        first,
        shared,
        covered,
        " ".join(theirs[at : at + shared]),
    )


def longest_run(words: Sequence[str], theirs: Sequence[str], run: int) -> tuple[int, int, int, int]:
    """The longest run of `words` that stands in `theirs`: where in each, and how long; and how many
    of `words` stand in shared runs of `run` words or more."""
    places: dict[str, list[int]] = {}
    for j, other in enumerate(theirs):
        places.setdefault(other, []).append(j)
    before: dict[int, int] = {}  # lengths of the runs that end in the word before, by their end
    first = at = longest = 0
    covered = [False] * len(words)
    for i, word in enumerate(words):
        before = {j: before.get(j - 1, 0) + 1 for j in places.get(word, ())}
        end = max(before, key=before.__getitem__, default=None)
        if end is None:
            continue
        length = before[end]
        if length > longest:
            first, at, longest = i - length + 1, end - length + 1, length
        if length >= run:
            covered[i - length + 1 : i + 1] = [True] * length
    return first, at, longest, sum(covered)
