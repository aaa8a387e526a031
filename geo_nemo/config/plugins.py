"""What users may bring, by name: ours, entry points of installed packages, and `module:name`."""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any

from geo_nemo.common.errors import UserError
from geo_nemo.common.secrets import masked


@dataclass(frozen=True)
class Kind:
    """One kind of such things.

    word: for one of them, in messages. group: of entry points. known: ours, `module:attribute` by
    name. attribute_is: what a name with a colon names, in messages.
    """

    word: str
    group: str
    known: Mapping[str, str] = field(default_factory=dict)
    attribute_is: str = "class"

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted({*self.known, *entry_points(group=self.group).names})

    def load(self, name: str, setting: str) -> Any:
        """What `name` stands for; its module is imported now.

        setting: what the user wrote it in. Raises `UserError` in one line where there is none of
        the name, or two; an `ImportError` of the module passes through.
        """
        if ":" in name:
            try:
                return _attribute(name)
            except AttributeError as error:
                raise UserError(
                    f"{setting}: {error}; name the {self.attribute_is} as module:attribute"
                ) from None
        offered = list(entry_points(group=self.group, name=name))
        targets = {found.value for found in offered} | {*filter(None, [self.known.get(name)])}
        if len(targets) > 1:
            raise UserError(
                f"{setting}: the name {name} stands for {' and '.join(sorted(targets))}: "
                "uninstall one of their packages, or name yours as module:attribute"
            )
        if not targets:
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            there = ", ".join(self.names()) or "none by name"
            raise UserError(
                f"{setting}: {name} is not a {self.word}; there is {there}, or "
                f"module:attribute{hint}"
            )
        return _attribute(targets.pop())

    def make(self, name: str, setting: str, *given: Any, options: Mapping[str, Any] = {}) -> Any:
        """What `name` stands for, called with `given` and the user's `options`.

        Raises `UserError` in one line where it does not import, or refuses.
        """
        try:
            return self.load(name, setting)(*given, **options)
        except UserError:
            raise
        except ImportError as error:
            raise UserError(
                f"{setting}: {name} does not import ({reason(error)}): install its package, or "
                "take it out"
            ) from error
        except Exception as error:  # each has its own
            raise UserError(f"{setting}: {name}: {reason(error)}; mend that or take it out") from (
                error
            )


def reason(error: BaseException) -> str:
    """An error on one line, without passwords."""
    kind = "" if type(error) is ConnectionError else f"{type(error).__name__}: "
    return masked(" ".join(f"{kind}{error}".split()))[:300]


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return attrgetter(attribute)(importlib.import_module(module))
