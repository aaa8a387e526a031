"""What a tuning trains on, shown before it starts: conversations in colour, and their counts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from geo_nemo.data.audit.render import TERMINAL, VISIBLE
from geo_nemo.tune.encode import IGNORED, Encoded, encode_one
from geo_nemo.tune.telling import ToldConversation

HOW = {
    "all": "all that is known",
    "country": "the country alone",
    "none": "nothing, by told.none",
    "unknown": "nothing, for the record tells none of the model's fields",
}


def show(console: Console, encoded: Encoded, tokenizer: Any, number: int) -> None:
    """Print the first conversations of each kind, `number` in all, and the counts."""
    for place in _some(encoded.told, number):
        each = encoded.told[place]
        named = Text(each.conversation.place, style="bold")  # brackets of a path are no markup
        console.print(named + Text(f", told {HOW[each.how]}", style="not bold"))
        console.print(colours(encoded, place, tokenizer))
    console.print(counts(encoded))


def colours(encoded: Encoded, place: int, tokenizer: Any) -> Text:
    """A conversation, each token in the colour of `geo-nemo audit`: trained or not, metadata."""
    ids, labels = encoded.input_ids[place], encoded.labels[place]
    block = _block(encoded.told[place], ids, tokenizer)
    looks = [
        ("meta " if 0 < at <= block else "") + ("masked" if label == IGNORED else "trained")
        for at, label in enumerate(labels)
    ]
    text, start = Text(), 0
    for stop in range(1, len(ids) + 1):
        if stop == len(ids) or looks[stop] != looks[start]:
            shown = tokenizer.decode(ids[start:stop], clean_up_tokenization_spaces=False)
            text.append(shown.translate(VISIBLE), style=TERMINAL[looks[start]])
            start = stop
    return text


def counts(encoded: Encoded) -> Table:
    """Conversations and tokens, what they are told, and of which countries they are."""
    table = Table(title="Conversations", title_justify="left", show_header=False)
    told = Counter(each.how for each in encoded.told)
    lengths = np.array([len(ids) for ids in encoded.input_ids])
    rows = [
        ("conversations", f"{len(lengths):,}"),
        ("tokens", f"{encoded.tokens:,}; the longest {lengths.max():,}"),
        ("trained", f"{encoded.trained:,} ({encoded.trained / encoded.tokens:.1%})"),
        (
            "left out: too long, or of a country that the model does not know",
            f"{len(encoded.dropped):,}",
        ),
        *((f"told {HOW[how]}", f"{told[how]:,} ({told[how] / len(lengths):.1%})") for how in HOW),
    ]
    countries = Counter(each.conversation.record.country or "unknown" for each in encoded.told)
    rows.append(("of countries", ", ".join(f"{c} {n:,}" for c, n in countries.most_common(24))))
    for row in rows:
        table.add_row(*row)
    return table


def _some(told: Sequence[ToldConversation], number: int) -> list[int]:
    """Places to show: one of each kind first."""
    firsts = {each.how: place for place, each in reversed(list(enumerate(told)))}
    places = list(dict.fromkeys([*firsts.values(), *range(len(told))]))
    return sorted(places[:number])


def _block(each: ToldConversation, ids: Sequence[int], tokenizer: Any) -> int:
    """Tokens of the metadata, behind BOS: what the conversation without them has no equal of."""
    if not each.metadata:
        return 0
    untold, _ = encode_one(ToldConversation(each.conversation, {}, "none"), tokenizer)
    return len(ids) - len(untold)
