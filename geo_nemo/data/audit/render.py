"""Shows a sequence to a person: each token in the colour of its kind and whether it is trained.

A token is shown where it is predicted, because the mask belongs to labels; the BOS that opens a
document is shown in front. Runs of one colour are decoded together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.data.sequences import PackedSequence
from geo_nemo.metadata.meta_tokens import pieces_of
from geo_nemo.metadata.record import Kind
from geo_nemo.reporting.html import FOLDER, fragment, page

if TYPE_CHECKING:
    from rich.text import Text

    from geo_nemo.tokenizers.base import Tokenizer

# Line ends are shown as such; other control characters could steer a terminal.
VISIBLE = {code: chr(0x2400 + code) for code in range(32)} | {127: "\u2421"}
VISIBLE |= {ord("\n"): "\u23ce\n", ord("\t"): "\t"}
ROLES = {Kind.METADATA: "meta", Kind.LABEL: "label"}
LEGEND = (
    ("meta masked", "metadata, not trained"),
    ("label masked", "label, not trained"),
    ("masked", "not trained"),
    ("trained", "trained"),
    ("pad", "padding"),
)
TERMINAL = {
    "meta masked": "blue",
    "label masked": "magenta",
    "meta trained": "bold blue underline",
    "label trained": "bold magenta underline",
    "trained": "green",
    "masked": "dim",
    "pad": "dim",
}
CLIPPED_CHARACTERS = 240


@dataclass(frozen=True)
class Run:
    """Neighbouring tokens of one look; `look` is the classes of the HTML span."""

    look: str
    text: str


@dataclass(frozen=True)
class Shown:
    """One segment: its group ("" for padding), positions and runs."""

    group: str
    positions: int
    runs: tuple[Run, ...]


def segments(
    sequence: PackedSequence, tokenizer: Tokenizer, groups: Sequence[str]
) -> Iterator[Shown]:
    """The sequence's documents in order, then its padding, if any."""
    for start, stop in pairwise(sequence.cu_seqlens.tolist()):
        if sequence.segment_ids[start] < 0:
            yield Shown("", stop - start, (Run("pad", f"<padding x {stop - start}>"),))
            continue
        ids = np.concatenate([sequence.tokens[start : start + 1], sequence.labels[start:stop]])
        looks = ["masked"] + [
            _look(Kind(kind), trained)
            for kind, trained in zip(
                sequence.label_kinds[start:stop].tolist(),
                (sequence.loss_mask[start:stop] > 0).tolist(),
                strict=True,
            )
        ]
        group = groups[sequence.group_ids[start]]
        yield Shown(group, stop - start, tuple(_runs(ids.tolist(), looks, tokenizer)))


def sequence_text(
    sequence: PackedSequence, tokenizer: Tokenizer, groups: Sequence[str], clip: bool = True
) -> Text:
    """The sequence for a terminal, a block a document. clip: shorten long runs in the middle."""
    from rich.text import Text

    text = Text()
    for number, shown in enumerate(segments(sequence, tokenizer, groups)):
        if shown.group:
            title = f"document {number + 1}, {shown.group}, {shown.positions} positions"
            text.append(f"\u2500\u2500 {title}\n", style="bold")
        for run in shown.runs:
            text.append(_clipped(run.text) if clip else run.text, style=TERMINAL[run.look])
        text.append("\n")
    return text


def sequence_html(sequence: PackedSequence, tokenizer: Tokenizer, groups: Sequence[str]) -> str:
    """The sequence as an HTML fragment: a div a document, a span a run; of `sequences.css`."""
    return fragment("sequences.html.j2", "sequence", list(segments(sequence, tokenizer, groups)))


def legend_html() -> str:
    """What the colours of `sequence_html` mean, as an HTML fragment."""
    return fragment("sequences.html.j2", "legend", LEGEND)


def sequences_page(title: str, sequences: Sequence[tuple[str, str]]) -> str:
    """A page of nothing else. sequences: a heading and the `sequence_html` of each."""
    return page(
        FOLDER, "sequences_page.html.j2", title=title, legend=legend_html(), sequences=sequences
    )


def _look(kind: Kind, trained: bool) -> str:
    state = "trained" if trained else "masked"
    return f"{ROLES[kind]} {state}" if kind in ROLES else state


def _runs(ids: list[int], looks: list[str], tokenizer: Tokenizer) -> Iterator[Run]:
    controls = {tokenizer.bos_id, tokenizer.eos_id}
    start = 0
    for stop in range(1, len(ids) + 1):
        if stop < len(ids) and looks[stop] == looks[start]:
            continue
        yield Run(looks[start], _text(ids[start:stop], controls, tokenizer))
        start = stop


def _text(ids: list[int], controls: set[int], tokenizer: Tokenizer) -> str:
    """Decoded text with control and meta-tokens by name and line ends visible."""
    meta = [each for each in ids if each >= tokenizer.vocab_size]
    if meta:  # behind BOS, or in front of other metadata
        first = [each for each in ids[:1] if each in controls]
        ids = [each for each in ids[len(first) :] if each < tokenizer.vocab_size]
        front = "".join(pieces_of([*first, *meta], tokenizer))
        return front + (_text(ids, controls, tokenizer) if ids else "")
    head, tail = "", ""
    if ids and ids[0] in controls:
        head, ids = tokenizer.pieces(ids[:1])[0], ids[1:]
    if ids and ids[-1] in controls:
        tail, ids = tokenizer.pieces(ids[-1:])[0], ids[:-1]
    text = tokenizer.decode(ids) if ids else ""
    # Models with a dummy prefix drop the first space on decoding.
    if ids and tokenizer.pieces(ids[:1])[0].startswith(" ") and not text.startswith(" "):
        text = " " + text
    return head + text.translate(VISIBLE) + tail


def _clipped(text: str) -> str:
    if len(text) <= CLIPPED_CHARACTERS:
        return text
    half = CLIPPED_CHARACTERS // 2
    return f"{text[:half]} \u2026 {len(text) - 2 * half} characters \u2026 {text[-half:]}"
