"""The names of all rules, and which of them a config applies."""

import difflib

from data_prep.clean import c4, fineweb, gopher
from data_prep.clean.gopher import Rule
from data_prep.config import Clean
from geo_nemo.common.errors import UserError

# Rules that look at a whole text; C4's change it on the way.
DOCUMENT_SETS: dict[str, dict[str, Rule]] = {
    "gopher_quality": gopher.QUALITY,
    "gopher_repetition": gopher.REPETITION,
    "fineweb": fineweb.FINEWEB,
}
RULES: dict[str, tuple[str, ...]] = {
    **{name: tuple(rules) for name, rules in DOCUMENT_SETS.items()},
    "c4": c4.LINE_RULES + c4.DOCUMENT_RULES,
}


def rule_names() -> list[str]:
    """Every rule as config and reasons name it, `gopher_quality.stop_words`."""
    return [f"{group}.{rule}" for group, rules in RULES.items() for rule in rules]


def chosen_rules(clean: Clean) -> dict[str, tuple[str, ...]]:
    """The rules of each set that `clean` applies, in its order. UserError for an unknown name."""
    names = rule_names()
    for name in clean.except_rules:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            near = near or [known for known in names if known.endswith(f".{name}")]
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
            raise UserError(f"clean.except_rules: no rule {name!r}; {hint}")
    left_out = set(clean.except_rules)
    return {
        group: tuple(rule for rule in RULES[group] if f"{group}.{rule}" not in left_out)
        for group in clean.rules
    }
