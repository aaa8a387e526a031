"""One document of a store for a person: its columns, and its tokens as training sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_prep.store_tools.policies import policy_words
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.data.audit.render import (
    LEGEND,
    ROLES,
    TERMINAL,
    VISIBLE,
    legend_html,
    sequence_text,
)
from geo_nemo.data.sequences import PackedSequence, build_sequence
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.metadata.meta_tokens import pieces_of
from geo_nemo.metadata.record import Kind
from geo_nemo.reporting.html import page
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.base import Tokenizer

PART = "\u22ef"
REPLACEMENT = "\ufffd"  # what decoders give for bytes that are no character
# A character has no more bytes.
MOST_PARTS = 4


@dataclass(frozen=True)
class ShownDocument:
    """columns: name and value as text. sequence: holds the document and nothing else."""

    title: str
    columns: tuple[tuple[str, str], ...]
    sequence: PackedSequence
    tokenizer: Tokenizer
    countries: tuple[str, ...]


@dataclass(frozen=True)
class ShownToken:
    """position: in the document, BOS is 0. look: the classes of its colour.

    text: what it adds to the text; PART where its bytes are no whole character yet.
    """

    position: int
    id: int
    piece: str
    text: str
    kind: str
    trained: bool
    look: str


def show_document(
    store: TokenStore, split_name: str, index: int, policy: MetadataPolicy
) -> ShownDocument:
    """Document `index` of a split, composed under `policy`."""
    split, tokenizer = store.split(split_name), store.tokenizer()
    record, title, body = split.record(index), split.title(index), split.body(index)
    composed = Composer(policy, tokenizer).compose(record, title, body)
    country = int(split.country[index])
    sequence = build_sequence(
        [composed],
        [country],
        len(composed.ids) - 1,
        tokenizer.pad_id,
        policy.mask_loss,
        policy.loss_weights,
    )
    year, content, cluster = split.year[index], split.content_hash[index], split.cluster[index]
    trained = int((sequence.loss_mask > 0).sum())
    columns = (
        ("document", f"{index:,} of {len(split):,} in {split_name}"),
        ("url", f"{record.scheme}://{record.host}{record.path}"),
        ("country", ", ".join(filter(None, (record.country, record.continent))) or UNKNOWN),
        ("year", str(year) if year else "unknown"),
        ("quality", UNKNOWN if record.quality is None else str(record.quality)),
        ("source", store.sources[split.source[index]]),
        *record.extra.items(),
        ("hash", f"{content:016x}"),
        ("cluster", "its own" if cluster == content else f"{cluster:016x}"),
        ("tokens", f"title {len(title):,}, body {len(body):,}"),
        ("policy", f"{policy_words(policy)} ({policy.hash()})"),
        ("trained", f"{trained:,} of {len(sequence.labels):,} labels"),
    )
    return ShownDocument(
        f"{store.root}, document {index}", columns, sequence, tokenizer, store.countries
    )


def tokens_of(shown: ShownDocument) -> Iterator[ShownToken]:
    """BOS, which no label predicts, and each label with its mask."""
    sequence = shown.sequence
    ids = np.concatenate([sequence.tokens[:1], sequence.labels]).tolist()
    kinds = [Kind.BOS, *map(Kind, sequence.label_kinds.tolist())]
    mask = [False, *(sequence.loss_mask > 0).tolist()]
    pieces = pieces_of(ids, shown.tokenizer)
    texts = _texts(ids, pieces, shown.tokenizer)
    for position, (token, kind, trained, piece, text) in enumerate(
        zip(ids, kinds, mask, pieces, texts, strict=True)
    ):
        state = "trained" if trained else "masked"
        look = f"{ROLES[kind]} {state}" if kind in ROLES else state
        yield ShownToken(position, token, piece, text, kind.name.lower(), trained, look)


def _texts(ids: list[int], pieces: list[str], tokenizer: Tokenizer) -> Iterator[str]:
    """What each token adds to the text: characters of several tokens come with their last one."""
    replacement = tokenizer.encode(REPLACEMENT)
    start = 0
    while start < len(ids):
        size, text = 1, tokenizer.decode(ids[start : start + 1])
        if REPLACEMENT not in text:
            # Some models drop the first space on decoding, and all of them control tokens.
            piece = pieces[start]
            yield piece if text.strip(" ") in ("", piece.strip(" ")) else text
        else:
            for more in range(2, MOST_PARTS + 1):
                some = ids[start : start + more]
                joined = tokenizer.decode(some)
                # A text may hold the replacement character itself.
                if REPLACEMENT not in joined or some == replacement:
                    size, text = more, joined
                    break
            yield from [PART] * (size - 1)
            yield text
        start += size


def print_document(shown: ShownDocument, console: Console, tokens: bool, ids: bool) -> None:
    """tokens: mark where each token ends. ids: a table of all tokens instead of the text."""
    table = Table(title=Text(shown.title), title_justify="left", show_header=False)
    for name, value in shown.columns:
        table.add_row(name, Text(value))
    console.print(table)
    if ids:
        console.print(_ids(shown))
        return
    console.print(_legend(shown))
    if not tokens:
        console.print(sequence_text(shown.sequence, shown.tokenizer, shown.countries, clip=False))
        return
    text = Text()
    for token in tokens_of(shown):
        text.append(token.text.translate(VISIBLE), style=TERMINAL[token.look])
        text.append("\u2502", style="dim")
    console.print(text)


def document_page(shown: ShownDocument) -> str:
    """The document as one HTML page; a token's id and kind show where the pointer rests."""
    return page(
        Path(__file__).parent,
        "store_document.html.j2",
        title=shown.title,
        columns=shown.columns,
        legend=legend_html(),
        tokens=list(tokens_of(shown)),
        visible=VISIBLE,
    )


def _legend(shown: ShownDocument) -> Text:
    """The looks that the document has."""
    words = {look: text for look, text in LEGEND if look != "pad"}
    words |= {"meta trained": "metadata, trained", "label trained": "label, trained"}
    used = {token.look for token in tokens_of(shown)}
    legend = Text()
    for look, text in words.items():
        if look in used:
            legend.append(text, style=TERMINAL[look]).append("  ")
    return legend


def _ids(shown: ShownDocument) -> Table:
    table = Table(title="Tokens", title_justify="left")
    table.add_column("position", justify="right")
    table.add_column("id", justify="right")
    for name in ("piece", "kind", "mask"):
        table.add_column(name)
    for token in tokens_of(shown):
        piece = Text(token.piece.translate(VISIBLE).replace("\n", ""), TERMINAL[token.look])
        mask = "1" if token.trained else "0"
        table.add_row(str(token.position), str(token.id), piece, token.kind, mask)
    return table
