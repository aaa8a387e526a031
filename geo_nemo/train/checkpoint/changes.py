"""What was changed since a checkpoint was written, by its run's fingerprint. Needs no torch."""

from collections.abc import Mapping

# Keys that came later: a fingerprint without one tells nothing of it.
_LATER = (".brought_fields",)


def changed_settings(saved: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """Names of what is not as it was."""
    changed = [
        name
        for name, value in current.items()
        if saved.get(name) != value and (name in saved or not name.endswith(_LATER))
    ]
    return changed + [name for name in saved if name not in current]
