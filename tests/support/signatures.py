"""Whether calls fit what a version of a package defines, without importing either.

1. `uses(file, packages)` reads what a file asks of the packages: names that it imports or reaches,
   and calls of them.
2. `complaint(use, sources)` says in a line why one does not fit; empty where it does.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.sources import Defined, Function, Module, Sources, dotted_of

Condition = Callable[[ast.expr], bool | None]


@dataclass(frozen=True)
class Call:
    """Arguments of a call. names: its keywords. more: with * or **, so that others may come."""

    positional: int
    names: tuple[str, ...]
    more: bool


@dataclass(frozen=True)
class Use:
    """What is asked of a package. wanted: dotted names, of which the first that is there is meant.

    call: how it is called, where it is. optional: the module goes on where it is not there.
    """

    place: str
    wanted: tuple[str, ...]
    call: Call | None = None
    optional: bool = False


@dataclass(frozen=True)
class Parameters:
    """What a callable takes. positional: in order; the last `optional` of them may be left out."""

    positional: tuple[str, ...]
    optional: int
    keywords: dict[str, bool]
    any_positional: bool = False
    any_keyword: bool = False

    @property
    def names(self) -> set[str]:
        return {*self.positional, *self.keywords}

    def refusal(self, call: Call) -> str:
        """Why `call` does not fit; empty where it does."""
        if call.positional > len(self.positional) and not self.any_positional:
            return f"takes {len(self.positional)} arguments by position, not {call.positional}"
        unknown = [name for name in call.names if name not in self.names]
        if unknown and not self.any_keyword:
            return f"takes no {', '.join(unknown)}"
        if twice := [name for name in self.positional[: call.positional] if name in call.names]:
            return f"is given {', '.join(twice)} twice"
        must = self.positional[call.positional : len(self.positional) - self.optional]
        asked = [*must, *(name for name, needed in self.keywords.items() if needed)]
        missing = [name for name in asked if name not in call.names]
        return f"asks for {', '.join(missing)}" if missing and not call.more else ""


def parameters(sources: Sources, found: Defined | Module) -> Parameters | None:
    """What a function or class takes; None where that cannot be read."""
    if isinstance(found, Module) or found.node is None:
        return None
    if isinstance(found.node, ast.ClassDef):
        return _of_class(sources, found)
    kinds = {dotted_of(each) for each in found.node.decorator_list}
    bound = found.owner is not None and "staticmethod" not in kinds
    # By its class: a method is given self, unless it is the class's own.
    return _of_function(found.node, skip=int(bound and "classmethod" in kinds))


def _of_function(node: Function, skip: int) -> Parameters:
    given = node.args
    positional = [each.arg for each in (*given.posonlyargs, *given.args)][skip:]
    keywords = {
        each.arg: default is None
        for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    }
    return Parameters(
        tuple(positional), len(given.defaults), keywords, given.vararg is not None,
        given.kwarg is not None,
    )  # fmt: skip


def _of_class(sources: Sources, cls: Defined) -> Parameters | None:
    if _is_dataclass(cls.node):
        fields = _fields(sources, cls)
        if fields is None:
            return None
        return Parameters(
            tuple(fields), sum(fields.values()), {}, any_keyword=_is_of_pydantic(sources, cls)
        )
    for name in ("__init__", "__new__"):
        for found in sources.member(cls, name):
            if not isinstance(found, Defined) or found.node is None:
                return None
            if found.owner is not None and _is_dataclass(found.owner):
                continue
            return _of_function(found.node, skip=1)
    return None


def _is_dataclass(node: ast.AST | None) -> bool:
    decorators = getattr(node, "decorator_list", [])
    names = {dotted_of(each.func if isinstance(each, ast.Call) else each) for each in decorators}
    return any(name.rpartition(".")[2] in ("dataclass", "experimental_dataclass") for name in names)


def _is_of_pydantic(sources: Sources, cls: Defined) -> bool:
    """Pydantic's dataclasses pass over what they have no field for."""
    tree = sources.tree(cls.module)
    imports = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)] if tree else []
    return any((each.module or "").startswith("pydantic") for each in imports)


def _fields(sources: Sources, cls: Defined) -> dict[str, bool] | None:
    """Fields of a dataclass and whether each has a default; None: of a base that is elsewhere."""
    fields: dict[str, bool] = {}
    for base in sources.bases(cls):
        if base.node is None:
            return None
        fields |= _fields(sources, base) or {}
    assert isinstance(cls.node, ast.ClassDef)
    for node in cls.node.body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and "ClassVar" not in ast.unparse(node.annotation)
        ):
            fields[node.target.id] = node.value is not None
    return fields


def complaint(use: Use, sources: Sources) -> str:
    """Why what is asked for does not fit `sources`, in a line; empty where it does."""
    found = next((each for each in map(sources.find, use.wanted) if each), [])
    if not found and use.optional:
        return ""
    if not found:
        return f"{use.place}: {' or '.join(use.wanted)} is not there"
    if use.call is None:
        return ""
    refusals = []
    for each in found:
        takes = parameters(sources, each)
        refusal = takes.refusal(use.call) if takes else ""
        if not refusal:
            return ""
        refusals.append(refusal)
    return f"{use.place}: {use.wanted[0]} {' / '.join(refusals)}"


def uses(
    text: str,
    place: str,
    packages: tuple[str, ...],
    holds: Condition | None = None,
    is_there: Callable[[tuple[str, ...]], bool] | None = None,
) -> Iterator[Use]:
    """What a module's text asks of `packages`.

    holds: whether a condition is true; None, not known, reads both branches. is_there: of names
        that are None where an import failed, whether it did not.
    """
    reader = _Reader(place, packages, holds or (lambda test: None), is_there)
    tree = ast.parse(text)
    for node in list(reader.reached(tree)):
        reader.bind(node)
    yield from reader.read(list(reader.reached(tree)))


class _Reader:
    """Names that a module has from the packages, and where it uses them."""

    def __init__(
        self,
        place: str,
        packages: tuple[str, ...],
        holds: Condition,
        is_there: Callable[[tuple[str, ...]], bool] | None,
    ):
        self._place, self._packages, self._holds, self._is_there = place, packages, holds, is_there
        self._perhaps: set[str] = set()  # names that are None where an import failed
        self._names: dict[str, list[str]] = {}
        self._optional: set[int] = set()  # what an except of ImportError or AttributeError awaits
        self._around: dict[int, tuple[ast.ClassDef | None, Function | None]] = {}  # of calls

    def reached(
        self,
        node: ast.AST,
        optional: bool = False,
        cls: ast.ClassDef | None = None,
        function: Function | None = None,
    ) -> Iterator[ast.AST]:
        """Every node but those under a condition that is known not to hold."""
        if optional:
            self._optional.add(id(node))
        yield node
        inside = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If | ast.IfExp):
            known = self._known(node.test)
            left_out = {True: node.orelse, False: node.body}.get(known, [])
            left_out = left_out if isinstance(left_out, list) else [left_out]
            inside = [each for each in inside if each not in left_out]
        elif isinstance(node, ast.ClassDef):
            cls = node
        elif isinstance(node, Function):
            function = node
        elif isinstance(node, ast.Call):
            self._around[id(node)] = cls, function
        tried = isinstance(node, ast.Try) and any(map(_awaits_absence, node.handlers))
        for each in inside:
            in_try = tried and each in node.body
            yield from self.reached(each, optional or in_try, cls, function)

    def _known(self, test: ast.expr) -> bool | None:
        """Whether a condition holds, as far as that can be told."""
        if (
            self._is_there is not None
            and isinstance(test, ast.Compare)
            and dotted_of(test.left) in self._perhaps
            and isinstance(test.comparators[0], ast.Constant)
            and test.comparators[0].value is None
        ):
            there = self._is_there(self._wanted(test.left))
            return there if isinstance(test.ops[0], ast.IsNot) else not there
        return self._holds(test)

    def bind(self, node: ast.AST) -> None:
        """Note the names that an import gives."""
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                self._note(alias.asname or alias.name, f"{node.module}.{alias.name}")
                if id(node) in self._optional:
                    self._perhaps.add(alias.asname or alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                self._note(name, alias.name if alias.asname else name)

    def _note(self, name: str, dotted: str) -> None:
        if self._is_theirs(dotted) or any(each.startswith(dotted + ".") for each in self._packages):
            known = self._names.setdefault(name, [])
            if dotted not in known:
                known.append(dotted)

    def _is_theirs(self, dotted: str) -> bool:
        return any((dotted + ".").startswith(each + ".") for each in self._packages)

    def read(self, nodes: list[ast.AST]) -> Iterator[Use]:
        """What `nodes` use, of names that are bound."""
        inner: set[int] = set()  # the beginnings of a longer chain, and what is called
        for node in nodes:
            place = f"{self._place}:{getattr(node, 'lineno', 0)}"
            if id(node) in self._optional:
                continue
            if isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    if (
                        self._is_theirs(wanted := f"{node.module}.{alias.name}")
                        and alias.name != "*"
                    ):
                        yield Use(place, (wanted,))
            elif isinstance(node, ast.Call):
                inner.update(map(id, ast.walk(node.func)))
                if wanted_all := self._wanted(node.func):
                    yield Use(place, wanted_all, self._call(node), self._may_lack(node.func))
                elif _is_super_init(node.func) and (base := self._base(node)):
                    yield Use(place, base, self._call(node))
            elif isinstance(node, ast.Attribute) and id(node) not in inner:
                inner.update(map(id, ast.walk(node)))
                if wanted_all := self._wanted(node):
                    yield Use(place, wanted_all, None, self._may_lack(node))

    def _wanted(self, node: ast.AST) -> tuple[str, ...]:
        first, _, rest = dotted_of(node).partition(".")
        known = self._names.get(first, [])
        full = [f"{each}.{rest}" if rest else each for each in known]
        return tuple(each for each in full if self._is_theirs(each))

    def _may_lack(self, node: ast.AST) -> bool:
        return dotted_of(node) in self._perhaps

    def _base(self, call: ast.Call) -> tuple[str, ...]:
        """Of `super().__init__(...)`: the first base of the class around it, if it is theirs."""
        cls, _ = self._around[id(call)]
        return self._wanted(cls.bases[0]) if cls is not None and cls.bases else ()

    def _call(self, node: ast.Call) -> Call:
        names = [each.arg for each in node.keywords if each.arg]
        more = any(isinstance(each, ast.Starred) for each in node.args)
        for each in node.keywords:
            if each.arg is None:
                more = True
                names += self._keys(each.value, self._around[id(node)][1])
        positional = sum(not isinstance(each, ast.Starred) for each in node.args)
        return Call(positional, tuple(dict.fromkeys(names)), more)

    def _keys(self, mapping: ast.expr, function: Function | None) -> Iterator[str]:
        """Keys that the function around a call gives to a dict which is passed with **."""
        if not isinstance(mapping, ast.Name) or function is None:
            return
        for node in self.reached(function):
            if (
                isinstance(node, ast.Assign)
                and isinstance(target := node.targets[0], ast.Subscript)
                and dotted_of(target.value) == mapping.id
                and isinstance(target.slice, ast.Constant)
            ):
                yield str(target.slice.value)


def _awaits_absence(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type) if handler.type else "Exception"
    return any(name in caught for name in ("Import", "ModuleNotFound", "Attribute", "Exception"))


def _is_super_init(node: ast.AST) -> bool:
    return ast.unparse(node) == "super().__init__"
