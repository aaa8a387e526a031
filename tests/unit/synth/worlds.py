"""A world small enough to enumerate every text of it."""

from data_prep.synth.world import FactKind, StyleChoice, Topic, World

TINY = World(
    countries=("aa", "bb", "cc"),
    continents=("North", "North", "South"),
    hosts=("one.aa", "two.com", "three.bb", "four.cc"),
    host_country=(0, 0, 1, 2),
    facts=(
        FactKind("capital", ("Ash", "Birch", "Cedar"), (0, 1, 2), ("Go to {value}.",)),
        FactKind("side", ("left", "right"), (0, 1, 0), ("Keep {value}.", "They {say} {value}.")),
    ),
    shared=(FactKind("noon", ("ten", "twelve"), (1, 1, 1), ("Noon is {value}.",)),),
    topics=(
        Topic("rain", ("rain",), ("{thing} on {day}", "more {thing}"), ("A {thing} on {day}.",)),
        Topic("sun", ("sun", "heat"), ("the {thing}",), ("Much {thing}.", "No {thing}.")),
    ),
    styles=(
        StyleChoice("opening", ("Staff:", "Desk:"), (0, 1, 0, 1)),
        StyleChoice("signoff", ("End.", "Bye."), (0, 0, 1, 1)),
        StyleChoice("say", ("say", "note"), (1, 0, 0, 1)),
    ),
    lexicon={"day": ("Monday", "Friday")},
    fact_counts=(1, 2),
    filler_counts=(0, 1),
    shared_counts=(0, 1),
    shared_signal=0.75,
)
