"""The data card: what a preparation read, kept and dropped, for people and as JSON."""

from data_prep.card.data import CardData
from data_prep.card.profile import Profile
from data_prep.card.stage import Card

__all__ = ["Card", "CardData", "Profile", "card_stages"]


def card_stages() -> list[type]:
    """The stages of this package, in order."""
    return [Profile, Card]
