"""Sentences of a card on what metadata tell, and on what was looked for in the texts."""

from data_prep.card.data import CardData, HostFacts
from data_prep.card.sentences import fraction
from geo_nemo.common.counts import plural

# What no stage looks for, whatever its settings.
NEVER = (
    "wrong facts", "texts that a machine has written", "what a text is about",
    "near-duplicates in another language",
)  # fmt: skip


def told(data: CardData) -> list[str]:
    """Who made the texts, along what they differ, how much hosts and paths give away."""
    found = data.signals
    if found is None:
        return []
    lines = []
    if found.synthetic:
        lines.append(
            "The corpus is synthetic: geo-nemo synth made it up, and its countries differ as the "
            "generator makes them differ. Gains on it say nothing of how large they are on news."
        )
    axes = [*found.axes, *data.fields]
    lines.append(
        f"Documents differ by {', '.join(axes)}." if axes else "Nothing tells documents apart."
    )
    if found.titled:
        lines.append(
            f"Of {fraction(found.spelled, found.titled)} of {plural(found.titled, 'title')} the "
            "URL's path spells half of the words or more: who is told the path is told the title. "
            "Metadata show the host alone unless a policy says otherwise."
        )
    if found.hosts is not None:
        lines += _hosts(found.hosts)
    return lines


def _hosts(facts: HostFacts) -> list[str]:
    lines = [
        f"Of {plural(facts.hosts, 'host')} {facts.national:.0%} end in a national domain, and of "
        f"those {facts.agreeing:.0%} in that of their country."
    ]
    if facts.whole is not None and facts.majority is not None:
        bare = "" if facts.stem is None else f", {facts.stem:.0%} without the domain's ending"
        lines.append(
            f"A line through a host's characters names the right one of {facts.countries} "
            f"countries for {facts.whole:.0%} of {plural(facts.tested, 'host')} that it was not "
            f"fitted on{bare}; always naming the most frequent one, {facts.majority:.0%}. So much "
            "of the country is told by the host alone."
        )
    return lines


def looked_for(data: CardData) -> tuple[str, str]:
    """What was looked for in the texts, and what was not, a sentence each."""
    settings = data.settings
    annotators = settings["annotate"].get("annotators", ())
    asked = {
        "near-duplicates": settings["dedup"]["near"]["action"] != "none",
        "texts of evaluations": bool(settings["overlap"]["evaluations"]),
        "personal data (e-mail, IP, phone)": bool(settings["clean"]["pii"]),
        "poor quality by published filters": bool(settings["clean"]["rules"]),
        "other languages than wanted": bool(settings["annotate"]["languages"]),
        "toxicity (words of a list)": "toxicity" in annotators,
        "licences of single texts": "license" in annotators,
    }
    done = ["exact copies", *(name for name, was in asked.items() if was)]
    missed = [*(name for name, was in asked.items() if not was), *NEVER]
    return f"Looked for: {', '.join(done)}.", f"Not looked for: {', '.join(missed)}."
