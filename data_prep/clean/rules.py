"""Filters by name, each with those of its rules that apply."""

import difflib
import re
from collections.abc import Mapping

from data_prep.clean.filter import Drop, Filter
from data_prep.clean.statistics import TextStatistics
from data_prep.config import Clean
from data_prep.config.kinds import FILTERS
from data_prep.document import Document
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.config.plugins import blaming

SETTING = "clean.rules"
_MEND = f"mend it or take it out of {SETTING}, then run the same command again"


def rules_of(name: str) -> Mapping[str, str]:
    """The rules of the filter `name`, and what they drop for. UserError where it does not load."""
    found = getattr(FILTERS.get(name, SETTING), "reasons", None)
    sound = isinstance(found, Mapping) and found and all(isinstance(r, str) for r in found)
    if not (sound and all(re.fullmatch(r"[\w-]+", rule) for rule in found)):
        raise UserError(
            f"{SETTING}: {name} has no `reasons`: give its class a dict of its rules, what each "
            "drops a document for by its name (letters, digits, _ and -)"
        )
    return found


def meaning(reason: str) -> str:
    """What a filter drops for, of a reason as `gopher_quality.stop_words`; empty: not known."""
    name, _, rule = reason.rpartition(".")
    try:
        return str(rules_of(name).get(rule, "")) if name else ""
    except UserError:
        return ""


def chosen_filters(clean: Clean) -> dict[str, Filter]:
    """The filters of `clean` in its order. UserError for one or a rule that does not exist."""
    # Ours are asked for a hint alone: a name of theirs that is taken is nothing to whoever does not
    # use it.
    asked = {**(FILTERS.known if clean.except_rules else {}), **dict.fromkeys(clean.rules)}
    known = {name: tuple(rules_of(name)) for name in asked}
    names = [f"{name}.{rule}" for name, rules in known.items() for rule in rules]
    for name in clean.except_rules:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            near = near or [known for known in names if known.endswith(f".{name}")]
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
            raise UserError(f"clean.except_rules: no rule {name!r}; {hint}")
    filters: dict[str, Filter] = {}
    for name in clean.rules:
        rules = tuple(rule for rule in known[name] if f"{name}.{rule}" not in clean.except_rules)
        options = clean.options.get(name, {})
        made = FILTERS.make(name, SETTING, rules, options=options)
        filters[name] = made if name in FILTERS.known else Brought(name, made, rules)
    return filters


def brought_filters(clean: Clean) -> list[str]:
    """Those from outside and their versions, for the keys of what they decide."""
    return [who for name in clean.rules if (who := FILTERS.brought(name, SETTING))]


class Brought:
    """Holds a filter from outside: what is wrong with it is one line with the document's name."""

    reasons: Mapping[str, str] = {}

    def __init__(self, name: str, held: Filter, rules: tuple[str, ...]):
        self.name, self._held, self._rules = name, held, rules

    def __call__(self, text: TextStatistics, document: Document) -> Drop | str | None:
        with blaming(f"the filter {self.name}, at the document {document.url},", _MEND):
            verdict = self._held(text, document)
            if isinstance(verdict, Drop) and verdict.rule in self._rules:
                return Drop(verdict.rule, str(verdict.detail))
            if verdict is None or (isinstance(verdict, str) and verdict.strip()):
                (verdict or "").encode()  # no lone surrogate
                return verdict
        rules = ", ".join(self._rules) or "none of its rules is left"
        raise RunError(
            f"the filter {self.name} answers {verdict!r:.100} to the document {document.url}: it "
            f"must be None, a text that is not empty, or data_prep.clean.Drop of {rules}; {_MEND}"
        )
