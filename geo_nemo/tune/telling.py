"""What each conversation is told of its origin: all, the country alone, or nothing; by the seed.

A draw depends on the seed, the file and the record alone, so that it is the same in every process
and after a restart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import xxhash

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.tune import Told, Tune
from geo_nemo.export.chat import told
from geo_nemo.metadata.fields import lines_of
from geo_nemo.tune.records import Conversation, read_conversations

How = Literal["all", "country", "none", "unknown"]
# Told so, a template does not add the continent that goes with a country.
ALONE = {"continent": None}


@dataclass(frozen=True, slots=True)
class ToldConversation:
    """A conversation with its metadata for the template. how: what of it is told."""

    conversation: Conversation
    metadata: dict[str, str | None]
    how: How


class Teller:
    """Draws by `told` under a policy. countries: that the model was told; none: not known."""

    def __init__(self, policy: MetadataPolicy, settings: Told, countries: Sequence[str], seed: int):
        self._policy = policy
        self._settings = settings
        self._countries = sorted(countries)
        self._seed = seed

    @property
    def wanted(self) -> frozenset[str]:
        """Names of metadata from which a record's lines are made; an address has several."""
        lines = lines_of(self._policy)
        columns = {name for line in lines for name in (line.name, *line.columns)}
        return frozenset(columns | {"country", "url"})

    def knows(self, conversation: Conversation) -> bool:
        """Whether training told the model of this country, as far as that is known."""
        country = conversation.record.country
        says = any("country" in line.columns for line in lines_of(self._policy))
        return not (says and country and self._countries) or country in self._countries

    def untold(self, conversation: Conversation) -> str:
        """The line that refuses it."""
        return (
            f"{conversation.place}: the country {conversation.record.country} is not among those "
            f"that this model was told: {', '.join(self._countries)}; mend it, or give "
            "untold_country=drop"
        )

    def tell(self, conversation: Conversation, key: str) -> ToldConversation:
        """key: names the record and which repetition of it this is."""
        known = told(self._policy, conversation.record)
        settings = self._settings
        if settings.by == "random_country":
            country = self._countries[int(self._draw("country", key) * len(self._countries))]
            known = {"country": country}
        if not known:
            return ToldConversation(conversation, {}, "unknown")
        chance = self._draw("told", key)
        if chance < settings.none:
            return ToldConversation(conversation, {}, "none")
        if "country" in known and (
            settings.by == "random_country" or chance < settings.none + settings.country
        ):
            alone = ALONE if "continent" in self._policy.fields else {}
            return ToldConversation(conversation, {"country": known["country"], **alone}, "country")
        return ToldConversation(conversation, known, "all")

    def _draw(self, purpose: str, key: str) -> float:
        return uniform(self._seed, f"{purpose}/{key}")


def read_told(config: Tune, teller: Teller) -> tuple[list[ToldConversation], list[str]]:
    """The records of all files, each as often as its file's weight says, with what is told.

    Behind them the places of those that are left out, for the model was not told their country.
    """
    found, left_out = [], []
    for place, file in enumerate(config.data):
        for number, conversation in enumerate(read_conversations(Path(file.path), teller.wanted)):
            if not teller.knows(conversation):
                if config.untold_country == "error":
                    raise UserError(teller.untold(conversation))
                left_out.append(conversation.place)
                continue
            key = f"{place}/{number}"
            whole = int(file.weight)
            times = whole + (uniform(config.seed, f"weight/{key}") < file.weight - whole)
            found += [teller.tell(conversation, f"{key}/{time}") for time in range(times)]
    return found, left_out


def uniform(seed: int, key: str) -> float:
    """A number from 0 to below 1 that seed and key decide."""
    return (xxhash.xxh3_64_intdigest(key.encode(), seed) >> 11) / (1 << 53)
