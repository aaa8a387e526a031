"""What users may bring, by name: ours, entry points of installed packages, and `module:name`."""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import EntryPoints
from importlib.metadata import entry_points as read_entry_points
from operator import attrgetter
from pathlib import Path
from typing import Any

from geo_nemo.common.errors import RunError, UserError
from geo_nemo.common.secrets import masked


@dataclass(frozen=True)
class Kind:
    """One kind of such things.

    word: for one of them, in messages. group: of entry points. known: ours, `module:attribute` by
    name. attribute_is: what a name with a colon names, in messages. only_names: none with a colon.
    methods: what is made of one must have them.
    """

    word: str
    group: str
    known: Mapping[str, str] = field(default_factory=dict)
    attribute_is: str = "class"
    only_names: bool = False
    methods: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted({*self.known, *entry_points(group=self.group).names})

    def target(self, name: str) -> str:
        """The `module:attribute` that `name` stands for. ValueError where there is none, or two."""
        if ":" in name and self.only_names:
            raise ValueError(
                f"{name}: a {self.word} is known by a name, which an entry point of the group "
                f"{self.group} gives it"
            )
        if ":" in name:
            return name
        offered = entry_points(group=self.group, name=name)
        targets = {f"{found.module}:{found.attr}" for found in offered}
        targets |= {*filter(None, [self.known.get(name)])}
        if len(targets) > 1:
            raise ValueError(
                f"the name {name} stands for {' and '.join(sorted(targets))}: uninstall one of "
                "their packages, or name yours as module:attribute"
            )
        if not targets:
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            there = ", ".join(self.names()) or "none by name"
            word = f"an {self.word}" if self.word[0] in "aeiou" else f"a {self.word}"
            others = "an installed package's" if self.only_names else "module:attribute"
            raise ValueError(f"{name} is not {word}; there is {there}, or {others}{hint}")
        return targets.pop()

    def check(self, name: str) -> str:
        """`name`, where it is one; nothing is imported. ValueError as in `target`."""
        if name not in self.known:  # ours may be taken twice, which `load` tells
            self.target(name)
        return name

    def load(self, name: str, setting: str) -> Any:
        """What `name` stands for; its module is imported now.

        setting: what the user wrote it in. Raises `UserError` in one line where there is none of
        the name, or two; an `ImportError` of the module passes through.
        """
        try:
            target = self.target(name)
        except ValueError as error:
            raise UserError(f"{setting}: {error}") from None
        try:
            return _attribute(target)
        except AttributeError as error:
            raise UserError(
                f"{setting}: {error}; name the {self.attribute_is} as module:attribute"
            ) from None

    def get(self, name: str, setting: str) -> Any:
        """`load`, whatever goes wrong in the module is a `UserError` in one line."""
        with self._as_user_errors(name, setting):
            return self.load(name, setting)

    def brought(self, name: str, setting: str) -> str:
        """Who a thing from outside is, and its version; empty for ours.

        It belongs in every key and fingerprint of what the thing decides. The version is its
        attribute `version`, else a hash of the file that defines it, so that a change is seen.
        Raises as `make` does.
        """
        if name in self.known:
            return ""
        with self._as_user_errors(name, setting):
            thing = self.load(name, setting)
            version = getattr(thing, "version", None)
            return f"{self.target(name)} {code_hash(thing) if version is None else version}"

    def make(self, name: str, setting: str, *given: Any, options: Mapping[str, Any] = {}) -> Any:
        """What `name` stands for, called with `given` and the user's `options`.

        Raises `UserError` in one line where it does not import, or refuses.
        """
        with self._as_user_errors(name, setting):
            made = self.load(name, setting)(*given, **options)
        self.check_made(made, f"{setting}: {name}")
        return made

    def check_made(self, made: Any, what: str) -> None:
        """Raise `UserError` where `made`, which messages call `what`, lacks one of `methods`."""
        for method in self.methods:
            if not callable(getattr(made, method, None)):
                raise UserError(f"{what} has no method {method}: see docs/extending.md")

    @contextmanager
    def _as_user_errors(self, name: str, setting: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except ImportError as error:
            raise UserError(
                f"{setting}: {name} does not import ({reason(error)}): install its package, or "
                "take it out"
            ) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # each has its own; see `blaming`
            raise UserError(f"{setting}: {name}: {reason(error)}; mend that or take it out") from (
                error
            )


@contextmanager
def blaming(what: str, mend: str) -> Iterator[None]:
    """What goes wrong inside is one line that names `what` and says how to `mend` it.

    So is `sys.exit()`, which would else end the command as if it had succeeded, and a panic of a
    library in Rust, which is no `Exception` either.
    """
    try:
        yield
    except (UserError, RunError, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever users bring
        raise RunError(f"{what} fails ({reason(error)}): {mend}") from error


def reason(error: BaseException) -> str:
    """An error on one line, without passwords."""
    kind = "" if type(error) is ConnectionError else f"{type(error).__name__}: "
    return masked(" ".join(f"{kind}{error}".split()))[:300]


def entry_points(group: str, name: str | None = None) -> EntryPoints:
    """What installed packages offer in a group, under a name where one is given.

    They are read once for a path of imports: with 300 packages each reading takes 12 ms, and tasks
    ask again and again. What is installed meanwhile changes its folder, and is seen.
    """
    offered = _offered(tuple((folder, _changed(folder)) for folder in sys.path))
    return offered.select(group=group) if name is None else offered.select(group=group, name=name)


@lru_cache(maxsize=4)
def _offered(path: tuple[tuple[str, int], ...]) -> EntryPoints:
    return read_entry_points()


def _changed(folder: str) -> int:
    """When entries of a folder changed last, in ns; 0 where there is none."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def code_hash(thing: Any) -> str:
    """Hash of the file that defines it, 16 hex digits. ValueError where there is none."""
    try:
        code = Path(inspect.getfile(thing)).read_bytes()
    except (TypeError, OSError):
        raise ValueError(
            "it has no `version`, and no file of Python defines it: give it one"
        ) from None
    return sha256(code).hexdigest()[:16]


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return attrgetter(attribute)(importlib.import_module(module))
