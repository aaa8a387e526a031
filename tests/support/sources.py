"""What a package's sources define, read and never imported: from a wheel, or from where it lies.

`Sources.find("megatron.core.parallel_state.get_data_parallel_rank")` follows imports from module to
module, stars too, to the definitions of that name. Of a name that is bound in several branches all
are given.
"""

import ast
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A module of the sources, as a value: `find` gives it for a dotted name that is one."""

    name: str


@dataclass(frozen=True)
class Defined:
    """A definition. node: what defines it; None where it is something else, or lies elsewhere.

    owner: of a method, the class that it was found in.
    """

    module: str
    node: ast.AST | None
    owner: ast.ClassDef | None = None


class Sources:
    """The Python files of one version of a package. place: a wheel, or a folder of sys.path."""

    def __init__(self, place: Path, package: str):
        self.package = package
        self._place = place
        self._trees: dict[str, ast.Module | None] = {}
        self._found: dict[str, list[Defined | Module]] = {}

    @cached_property
    def _files(self) -> dict[str, str]:
        """Paths of Python files by the module's name."""
        if self._place.is_dir():
            top = self._place / self.package.replace(".", "/")
            paths = [each.relative_to(self._place).as_posix() for each in top.rglob("*.py*")]
        else:
            with zipfile.ZipFile(self._place) as wheel:
                paths = wheel.namelist()
        # A stub stands for a compiled module.
        kinds = (".pyi", ".py")
        return {
            path.removesuffix(kind).replace("/", ".").removesuffix(".__init__"): path
            for kind in kinds
            for path in paths
            if path.endswith(kind)
        }

    def tree(self, module: str) -> ast.Module | None:
        """The module's syntax; None where the sources have no such module."""
        if module not in self._trees:
            path = self._files.get(module)
            self._trees[module] = ast.parse(self._read(path)) if path else None
        return self._trees[module]

    def modules(self) -> list[str]:
        """Names of all modules."""
        return sorted(self._files)

    def text(self, module: str) -> str:
        return self._read(self._files[module]).decode()

    def _read(self, path: str) -> bytes:
        if self._place.is_dir():
            return (self._place / path).read_bytes()
        with zipfile.ZipFile(self._place) as wheel:
            return wheel.read(path)

    def is_package(self, module: str) -> bool:
        return self._files.get(module, "").endswith(("__init__.py", "__init__.pyi"))

    def find(self, dotted: str) -> list[Defined | Module]:
        """What `dotted` is; empty where the package has no such name."""
        if dotted not in self._found:
            self._found[dotted] = []  # a name that leads to itself is none
            self._found[dotted] = self._find(dotted)
        return self._found[dotted]

    def _find(self, dotted: str) -> list[Defined | Module]:
        if not (dotted + ".").startswith(self.package + "."):
            return [Defined("", None)]  # another package's: there, and unknown
        owner, _, name = dotted.rpartition(".")
        bound: list[Defined | Module] = []
        for parent in self.find(owner) if owner else []:
            if isinstance(parent, Module):
                bound += self._bound(parent.name, name)
            elif isinstance(parent.node, ast.ClassDef):
                bound += self.member(parent, name)
            else:  # an attribute of what is not looked into
                bound.append(Defined(parent.module, None))
        if not bound and (
            dotted in self._files or dotted == self.package or self._is_folder(dotted)
        ):
            return [Module(dotted)]
        return bound

    def _is_folder(self, dotted: str) -> bool:
        return any(name.startswith(dotted + ".") for name in self._files)

    def _bound(self, module: str, name: str) -> list[Defined | Module]:
        tree = self.tree(module)
        if tree is None:
            return []
        bound: list[Defined | Module] = []
        for node in statements(tree.body):
            if isinstance(node, Function | ast.ClassDef) and node.name == name:
                bound.append(Defined(module, node))
            elif isinstance(node, ast.ImportFrom):
                source = self.absolute(module, node)
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        bound += self.find(f"{source}.{alias.name}")
                    elif alias.name == "*" and not name.startswith("_"):
                        starred = f"{source}.{name}"
                        bound += self.find(starred) if source.startswith(self.package) else []
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if (alias.asname or alias.name.partition(".")[0]) == name:
                        bound += self.find(alias.name if alias.asname else name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = {leaf.id for each in targets for leaf in ast.walk(each)
                         if isinstance(leaf, ast.Name)}  # fmt: skip
                if name in names:
                    bound += self._assigned(module, node.value, name)
        return bound

    def _assigned(self, module: str, value: ast.AST | None, name: str) -> list[Defined | Module]:
        chain = dotted_of(value)
        if chain and chain != name:
            return self.find(f"{module}.{chain}") or [Defined(module, None)]
        return [Defined(module, None)]

    def absolute(self, module: str, node: ast.ImportFrom) -> str:
        """The module that `from ... import` names, in `module`."""
        if not node.level:
            return node.module or ""
        parts = module.split(".")
        up = node.level - self.is_package(module)
        return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])

    def bases(self, cls: Defined) -> Iterator[Defined]:
        """The classes that `cls` is made from, its own class last; one of elsewhere has no node."""
        assert isinstance(cls.node, ast.ClassDef)
        meta = [each.value for each in cls.node.keywords if each.arg == "metaclass"]
        for base in (*cls.node.bases, *meta):
            chain = dotted_of(base)
            found = self.find(f"{cls.module}.{chain}") if chain else []
            yield from [each for each in found if isinstance(each, Defined)] or [Defined("", None)]

    def member(self, cls: Defined, name: str) -> list[Defined | Module]:
        """A class's attribute or method, or that of a base; unknown where a base lies elsewhere."""
        assert isinstance(cls.node, ast.ClassDef)
        own: list[Defined | Module] = []
        for node in statements(cls.node.body):
            if isinstance(node, Function) and node.name == name:
                own.append(Defined(cls.module, node, cls.node))
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(each, ast.Name) and each.id == name for each in targets):
                    own.append(Defined(cls.module, None, cls.node))
        if own:
            return own
        for base in self.bases(cls):
            inherited = self.member(base, name) if isinstance(base.node, ast.ClassDef) else [base]
            if inherited:
                return inherited
        return []


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module or class, those inside if, try and with too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from statements(handler.body)


def dotted_of(node: ast.AST | None) -> str:
    """`a.b.c` of such an expression; empty of any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""
