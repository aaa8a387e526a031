"""What a card tells of metadata fields of the user's own: values, and what was changed in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.annotate.own_fields import COUNTED, mixed
from data_prep.card.data import CardData, FieldFacts
from data_prep.config import Prep
from data_prep.extra_fields import summed_fields
from data_prep.store_tools.columns import lengths
from data_prep.store_tools.fields import FieldCount, FieldTally
from geo_nemo.common.counts import plural
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import MANIFEST_NAME

MOST_VALUES = 50
SHOWN_CHARACTERS = 40


def field_facts(config: Prep, root: Path, tasks: Sequence[dict[str, Any]]) -> dict[str, FieldFacts]:
    """By name. root: of the store. tasks: counts of ingest.

    Reads the codes of each field in the store; in memory 16 bytes a value.
    """
    if not config.kinds:
        return {}
    changed, found = summed_fields(tasks), store_fields(root)
    return {
        name: FieldFacts(
            kind=kind,
            numbered=name in found and found[name].kind != "text",
            documents=found[name].documents if name in found else changed[name]["documents"],
            values=found[name].values if name in found else 0,
            top={value.name: value.documents for value in found[name].top} if name in found else {},
            changed={each: n for each in COUNTED if (n := changed[name][each])},
        )
        for name, kind in config.kinds.items()
    }


def store_fields(root: Path) -> dict[str, FieldCount]:
    """Counts of the fields of a store, by name; nothing where there is no store."""
    if not (root / MANIFEST_NAME).is_file():
        return {}
    store = TokenStore.open(root)
    tally = FieldTally(store)
    for split in store.splits:
        for shard in store.shards(split):
            tally.add(shard, lengths(shard.title_end) + lengths(shard.body_end))
    return {field.name: field for field in tally.counts(MOST_VALUES)}


def field_notes(data: CardData) -> list[str]:
    """A sentence for each thing about a field that a user should know."""
    notes = []
    for name, field in data.fields.items():
        classes = ("texts", "numbers", "truth_values")
        for each, number in field.changed.items():
            if each not in (*classes, "several"):
                notes.append(f"{name}: {plural(number, 'value')} {COUNTED[each]}")
        if field.kind in ("category", "text") and mixed(field.changed):
            parts = [f"{field.changed[c]:,} {COUNTED[c]}" for c in classes if c in field.changed]
            notes.append(f"{name}: of its values {', '.join(parts)}; all are written as text")
        if field.kind != "text" and field.documents and not field.numbered and field.values == 0:
            most = data.settings["limits"]["max_values"]
            notes.append(
                f"{name}: it has more than limits.max_values={most:,} values, and is kept as free "
                f"text: documents are told it, and it makes no groups"
            )
    return notes


def shown_values(field: FieldFacts, most: int) -> list[str]:
    """The first values as a table shows them."""
    names = list(field.top)[:most]
    return [f"{name[:SHOWN_CHARACTERS]}..." if len(name) > SHOWN_CHARACTERS else name
            for name in names]  # fmt: skip


def value_words(field: FieldFacts) -> str:
    """How many values there are, or that nobody counts them."""
    if not field.numbered:
        return "free text"
    several = ", several of one document" if "several" in field.changed else ""
    return f"{field.values:,}{several}"
