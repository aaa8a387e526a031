"""Planted faults that no test notices: what each changed, and why it may stay (mutants.yaml)."""

import ast
import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

_ORIGINAL = "__mutmut_orig"


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted fault: its function, the lines that it changed, and what they became."""

    where: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why faults may stay.

    kinds: pattern and reason; lines that are equal without what a pattern finds are of that kind.
    faults: reason by fault.
    """

    kinds: tuple[tuple[re.Pattern[str], str], ...]
    faults: dict[Fault, str]

    @classmethod
    def read(cls, path: Path) -> "Reasons":
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        kinds = tuple((re.compile(each["without"]), each["why"]) for each in found["kinds"])
        faults = {
            Fault(where, _line(each["was"]), _line(each["now"])): each["why"]
            for where, those in found["faults"].items()
            for each in those
        }
        return cls(kinds, faults)

    def of(self, fault: Fault) -> str | None:
        """Why this fault may stay; None where nobody knows."""
        for pattern, why in self.kinds:
            if _bare(pattern.sub("", fault.was)) == _bare(pattern.sub("", fault.now)):
                return why
        return self.faults.get(fault)


def fault_of(root: Path, name: str) -> Fault:
    """What the fault of this name changes in mutmut's copy of the code below `root`."""
    module, _, changed = name.partition(".x")
    versions = _versions(root / f"{module.replace('.', '/')}.py")
    changed = f"x{changed}"
    function = changed.rpartition("__mutmut_")[0]
    was, now = versions[function + _ORIGINAL], versions[changed]
    lines = [line for line in difflib.ndiff(was, now) if not line.startswith("?")]
    removed = [line[2:] for line in lines if line.startswith("- ")]
    added = [line[2:] for line in lines if line.startswith("+ ")]
    # mutmut writes `xǁClassǁmethod` of a method, and `x_function` of a function.
    where = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return Fault(f"{module}.{where}", _line(" ".join(removed)), _line(" ".join(added)))


@lru_cache
def _versions(path: Path) -> dict[str, list[str]]:
    """The lines of each version of each function, without the line that names it."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    return {
        node.name: lines[node.body[0].lineno - 1 : node.end_lineno]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name
    }


def _line(text: str) -> str:
    return " ".join(text.split())


def _bare(text: str) -> str:
    """Without what may stand between two arguments or not."""
    return re.sub(r"[\s,]", "", text)
