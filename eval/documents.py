"""Which documents are scored, and which of their tokens: the same ones in every condition and run.

1. `choose` takes documents of a split, stratified by country where their number is capped.
2. `scored_spans` cuts title and body to what fits behind the longest prefix of all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xxhash

from eval.conditions import View, generator
from eval.texts import Tokens
from geo_nemo.config import UserError
from geo_nemo.metadata.compose import NO_TOKENS, Composer
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class Documents:
    """The documents of an evaluation; every array has shape [n].

    index: int64, place in the split. country: int64, index into the store's countries.
    title_tokens, body_tokens: int64, tokens scored.
    title_bytes, body_bytes: int64, UTF-8 bytes of the texts that they are, without the space before
        a text and the blank line behind a title.
    whole: bool, nothing was cut, so that EOS follows and is scored apart.
    token_hash: uint64, hash of the scored title and body tokens.
    skipped: documents left out, by reason.
    """

    index: np.ndarray
    country: np.ndarray
    title_tokens: np.ndarray
    body_tokens: np.ndarray
    whole: np.ndarray
    token_hash: np.ndarray
    skipped: dict[str, int]
    title_bytes: np.ndarray | None = None
    body_bytes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def tokens(self) -> np.ndarray:
        """Scored tokens of title and body, int64 [n]."""
        return self.title_tokens + self.body_tokens

    def take(self, places: np.ndarray) -> "Documents":
        """Some of the documents."""
        arrays = {
            name: value[places] for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }  # fmt: skip
        return replace(self, **arrays)


def choose(country: np.ndarray, number: int | None, seed: int) -> np.ndarray:
    """Sorted indices of `number` documents, in proportion to the countries; all when None.

    country: int [n], a document's country. Every country keeps one document where `number` allows.
    """
    if number is None or number >= len(country):
        return np.arange(len(country))
    rng = generator(seed, "choose")
    values, counts = np.unique(country, return_counts=True)
    take = _apportion(counts, number)
    chosen = [
        rng.choice(np.flatnonzero(country == value), size, replace=False)
        for value, size in zip(values, take, strict=True)
        if size
    ]
    return np.sort(np.concatenate(chosen))


def _apportion(counts: np.ndarray, number: int) -> np.ndarray:
    """`number` places shared by largest remainder, one each first where there are enough."""
    base = np.zeros(len(counts), dtype=np.int64)
    if number >= len(counts):
        base += 1
    quota = (counts - base) * ((number - base.sum()) / max(1, (counts - base).sum()))
    take = base + np.floor(quota).astype(np.int64)
    rest = np.argsort(-(quota - np.floor(quota)), kind="stable")[: number - take.sum()]
    take[rest] += 1
    return take


def token_hash(ids: np.ndarray) -> int:
    """64-bit hash of token ids, whatever their integer type."""
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(ids, dtype=np.int64).tobytes())


# What a document, by its index in the split, is shown in one condition; None for no metadata.
RecordOf = Callable[[int], MetadataRecord | None]


def longest_overhead(
    document: int, title: np.ndarray, shown: Sequence[tuple[Composer | View, RecordOf]]
) -> int:
    """Most tokens that any condition adds to title and body: BOS, metadata, labels, EOS."""
    return max(
        len(composer.join(composer.prefix_ids(record_of(document)), title, NO_TOKENS, True).ids)
        - len(title)
        for composer, record_of in shown
    )


def scored_texts(
    split: Tokens, index: int, composer: Composer | View
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of a document's title and body, the same wherever labels are: as behind metadata."""
    main = composer.composer if isinstance(composer, View) else composer
    return main.texts(split.title(index), split.body(index))


def shown_texts(
    split: Tokens, documents: Documents, place: int, composer: Composer | View
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the scored title and body of a document as a condition shows them.

    Bare text has other tokens in its first words, and is cut where the others are: the same text is
    scored. Where the cut lies in those words it keeps the space that stands behind a label.
    """
    index = int(documents.index[place])
    sizes = int(documents.title_tokens[place]), int(documents.body_tokens[place])
    whole = scored_texts(split, index, composer)
    scored = tuple(ids[:size] for ids, size in zip(whole, sizes, strict=True))
    if not isinstance(composer, View) or composer.bare is None:
        return scored
    found = []
    bare = composer.texts(split.title(index), split.body(index))
    for own, ids, kept in zip(bare, whole, scored, strict=True):
        own = own[: max(len(own) - (len(ids) - len(kept)), 0)]
        found.append(own if _same_text(composer, own, kept) else kept)
    return found[0], found[1]


def _same_text(composer: View, one: np.ndarray, other: np.ndarray) -> bool:
    texts = [composer.tokenizer.decode(ids.tolist()).lstrip(" ") for ids in (one, other)]
    return texts[0] == texts[1]


def longer_bare(
    split: Tokens, index: int, shown: Sequence[tuple[Composer | View, RecordOf]]
) -> int:
    """Tokens that the bare text has more than the same text behind labels, 0 where it has fewer."""
    most = 0
    for composer, _ in shown:
        if isinstance(composer, View) and composer.bare is not None:
            bare = composer.texts(split.title(index), split.body(index))
            most = max(
                most, sum(map(len, bare)) - sum(map(len, scored_texts(split, index, composer)))
            )
    return most


def scored_spans(
    split: Tokens,
    country: np.ndarray,
    chosen: np.ndarray,
    shown: Sequence[tuple[Composer | View, RecordOf]],
    seq_length: int,
    max_tokens: int | None,
) -> Documents:
    """The scored tokens of the chosen documents.

    country: of every document of the split. chosen: indices into the split.
    shown: every condition of every run, under one template. A fragment of n tokens takes n - 1 of
        `seq_length` positions.
    Raises UserError when no document has a token to score.
    """
    titles = np.zeros(len(chosen), dtype=np.int64)
    bodies = np.zeros(len(chosen), dtype=np.int64)
    whole = np.zeros(len(chosen), dtype=bool)
    hashes = np.zeros(len(chosen), dtype=np.uint64)
    no_room = 0
    for place, index in enumerate(chosen.tolist()):
        title, body = scored_texts(split, index, shown[0][0])
        overhead = longest_overhead(index, title, shown) + longer_bare(split, index, shown)
        room = seq_length + 1 - overhead
        no_room += room <= 0
        budget = max(0, room if max_tokens is None else min(room, max_tokens))
        titles[place] = min(len(title), budget)
        bodies[place] = min(len(body), budget - titles[place])
        whole[place] = titles[place] + bodies[place] == len(title) + len(body)
        hashes[place] = token_hash(np.concatenate([title[: titles[place]], body[: bodies[place]]]))
    kept = np.flatnonzero(titles + bodies)
    if len(kept) == 0 and not no_room:
        raise UserError(f"no document of split {split.name} has a text")
    if len(kept) == 0:
        raise UserError(
            f"no document of split {split.name} has a token to score: the metadata fills all "
            f"{seq_length} positions; use fewer fields or url_form host"
        )
    empty = len(chosen) - len(kept) - no_room
    skipped = {"metadata leaves no room for text": int(no_room), "no text": int(empty)}
    return Documents(
        index=chosen[kept],
        country=country[chosen[kept]].astype(np.int64),
        title_tokens=titles[kept],
        body_tokens=bodies[kept],
        whole=whole[kept],
        token_hash=hashes[kept],
        skipped={reason: count for reason, count in skipped.items() if count},
    )


def scored_bytes(
    documents: Documents, split: Tokens, composer: Composer | View, tokenizer: Tokenizer
) -> Documents:
    """`documents` with the bytes of their scored texts, as the tokenizer spells them.

    Of a character that a cut went through, nothing counts.
    """
    sizes = np.zeros((len(documents), 2), np.int64)
    for place, index in enumerate(documents.index.tolist()):
        title, body = scored_texts(split, index, composer)
        parts = title[: documents.title_tokens[place]], body[: documents.body_tokens[place]]
        for number, ids in enumerate(parts):
            text = tokenizer.decode(ids.tolist()).strip() if len(ids) else ""
            sizes[place, number] = len(text.rstrip("\ufffd").encode())
    return replace(documents, title_bytes=sizes[:, 0], body_bytes=sizes[:, 1])


def shared(scored: Mapping[str, Documents]) -> dict[str, Documents]:
    """Of each tokenizer, the documents that have a token to score under every one."""
    common = set.intersection(*(set(of.index.tolist()) for of in scored.values()))
    return {
        key: of.take(np.flatnonzero([index in common for index in of.index.tolist()]))
        for key, of in scored.items()
    }
