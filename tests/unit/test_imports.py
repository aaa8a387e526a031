"""Who may import whom: every import of the code, also inside functions, against the table."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("geo_nemo", "data_prep", "eval", "benchmarks")
MAX_LINES = 500

# docs/design.md. A module belongs to the longest name of this table that it starts with; it may
# import its own part and those listed. None: all of them.
BASE = {"geo_nemo.common", "geo_nemo.config"}
TEXT = BASE | {"geo_nemo.metadata", "geo_nemo.tokenizers"}
STORE = TEXT | {"geo_nemo.storage", "geo_nemo.store"}
DATA = STORE | {"geo_nemo.data", "geo_nemo.reporting"}
TRAIN = DATA | {"geo_nemo.model", "geo_nemo.runtime", "geo_nemo.train"}
MAY_IMPORT = {
    "geo_nemo": set(),
    "geo_nemo.__main__": {"geo_nemo.cli"},
    "geo_nemo.common": set(),
    "geo_nemo.config": {"geo_nemo.common"},
    "geo_nemo.metadata": BASE | {"geo_nemo.tokenizers"},
    "geo_nemo.storage": BASE,
    "geo_nemo.store": TEXT | {"geo_nemo.storage"},
    "geo_nemo.tokenizers": BASE,
    "geo_nemo.data": STORE | {"geo_nemo.reporting"},
    "geo_nemo.model": BASE,
    "geo_nemo.reporting": set(),
    "geo_nemo.runtime": BASE,
    "geo_nemo.train": TRAIN,
    "geo_nemo.diagnostics": STORE | {"geo_nemo.data", "geo_nemo.runtime", "geo_nemo.train"},
    "geo_nemo.export": TRAIN,
    "geo_nemo.generate": TRAIN | {"geo_nemo.export"},
    "geo_nemo.tune": TRAIN | {"geo_nemo.export"},
    "geo_nemo.integrations": TRAIN | {"geo_nemo.export"},
    "geo_nemo.launch": TRAIN | {"geo_nemo.export", "geo_nemo.tune", "data_prep", "eval"},
    "geo_nemo.cli": None,
    "data_prep": STORE | {"geo_nemo.reporting"},
    "eval": DATA | {"geo_nemo.export", "eval.scorers"},
    "eval.scorers": DATA | {"geo_nemo.export", "geo_nemo.runtime", "eval"},
    "benchmarks": None,
}
ENGINE = ("megatron", "transformer_engine", "apex", "nemo")
MAY_IMPORT_ENGINE = (
    "geo_nemo.model",
    "geo_nemo.train",
    "geo_nemo.runtime",
    "geo_nemo.export",
    "geo_nemo.diagnostics.doctor",
    "geo_nemo.integrations",
    "benchmarks.loader.peers",
    "benchmarks.gpu_report.probe",
)
NO_TORCH = (
    "data_prep",
    "eval",
    "geo_nemo.common",
    "geo_nemo.config",
    "geo_nemo.metadata",
    "geo_nemo.storage",
    "geo_nemo.store",
    "geo_nemo.tokenizers",
    "geo_nemo.data",
    "geo_nemo.diagnostics",
    "geo_nemo.model.context",
    "geo_nemo.model.fp8",
    "geo_nemo.model.layout",
    "geo_nemo.model.flops",
    "geo_nemo.model.memory",
    "geo_nemo.model.shape",
    "geo_nemo.reporting",
    "geo_nemo.runtime.caches",
    "geo_nemo.diagnostics.fabric",
    "geo_nemo.runtime.notify",
    "geo_nemo.runtime.sharing",
    "geo_nemo.train.checkpoint.bucket",
    "geo_nemo.train.checkpoint.files",
    "geo_nemo.train.ending",
    "geo_nemo.train.ledger",
    "geo_nemo.train.plan",
    "geo_nemo.train.setup",
    "geo_nemo.train.stage_steps",
)
# Inside those: imported only where a model of transformers is evaluated, or the software is asked.
WITH_TORCH = (
    "eval.scorers.endings",
    "eval.scorers.exported",
    "eval.scorers.hub_model",
    "eval.scorers.hugging_face",
    "eval.scorers.loaded",
    "geo_nemo.diagnostics.allreduce",
    "geo_nemo.diagnostics.doctor",
)


def modules() -> dict[str, Path]:
    """Name and file of every module of the packages."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imports(path: Path) -> frozenset[str]:
    """Names of the modules that a file imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            joined = (f"{node.module}.{alias.name}" for alias in node.names)
            names.update(name if name in MODULES else node.module for name in joined)
        elif is_import_call(node):
            names.add(imported_by_call(node))
    return frozenset(names)


def without_torch() -> list[str]:
    return [
        name
        for name in MODULES
        if any(inside(name, part) for part in NO_TORCH) and name not in WITH_TORCH
    ]


def is_import_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = (
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    )
    return called in ("import_module", "__import__")


def imported_by_call(node: ast.Call) -> str:
    """The module's name as far as it is written out: the start of an f-string counts."""
    argument = node.args[0]
    if isinstance(argument, ast.JoinedStr):
        argument = argument.values[0]
    return str(argument.value).rstrip(".") if isinstance(argument, ast.Constant) else "?"


def inside(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + ".")


def part_of(name: str) -> str:
    """The row of the table that a module belongs to."""
    return max((part for part in MAY_IMPORT if inside(name, part)), key=len)


def breaches(name: str, path: Path) -> list[str]:
    part = part_of(name)
    allowed = MAY_IMPORT[part]
    if allowed is None:
        return []
    ours = (i for i in imports(path) if i.partition(".")[0] in (*PACKAGES, "tests"))
    return sorted(
        f"{name} imports {imported}"
        for imported in ours
        if imported.startswith("tests") or part_of(imported) not in {part, "geo_nemo", *allowed}
    )


def test_the_reader_of_imports_sees_every_kind(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import a.b, c as d\n"
        "from geo_nemo.config import load, UserError\n"
        "def f():\n"
        "    from torch import nn\n"
        "    import_module('megatron.core')\n"
        "    importlib.import_module(f'geo_nemo.cli.{name}')\n"
    )
    assert imports(path) == {
        "a.b", "c", "geo_nemo.config.load", "geo_nemo.config", "torch", "megatron.core",
        "geo_nemo.cli",
    }  # fmt: skip


def test_a_breach_of_the_table_is_seen(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from geo_nemo.train.loop import Trainer\n")
    assert breaches("geo_nemo.data.sequences", path) == [
        "geo_nemo.data.sequences imports geo_nemo.train.loop"
    ]
    assert breaches("geo_nemo.export.scorer", path) == []
    path = tmp_path / "another.py"
    path.write_text("from tests.support import tiny\n")
    assert breaches("data_prep.ingest", path) == ["data_prep.ingest imports tests.support"]


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_every_part_imports_only_what_the_table_allows(part):
    found = [b for name, path in MODULES.items() if part_of(name) == part
             for b in breaches(name, path)]  # fmt: skip
    assert found == []


def test_no_modules_import_each_other_in_a_circle():
    """Neither inside functions nor for types alone: who reads one would have to read them all."""
    graph = networkx.DiGraph()
    for name, path in MODULES.items():
        graph.add_edges_from((name, each) for each in imports(path) & MODULES.keys() - {name})
    circles = [
        sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1
    ]
    assert circles == []


def test_every_module_belongs_to_a_part_that_is_there():
    names = {part_of(name) for name in MODULES}
    assert names == MAY_IMPORT.keys()


def test_only_the_engine_s_parts_import_megatron_or_transformer_engine():
    users = {
        name
        for name, path in MODULES.items()
        if any(inside(imported, engine) for imported in imports(path) for engine in ENGINE)
    }
    assert users
    assert {name for name in users if not name.startswith(MAY_IMPORT_ENGINE)} == set()


def test_parts_without_torch_name_it_nowhere():
    free = {name: MODULES[name] for name in without_torch()}
    users = {
        name
        for name, path in free.items()
        if any(
            inside(imported, heavy) for imported in imports(path) for heavy in ("torch", *ENGINE)
        )
    }
    assert users == set()


def test_importing_them_loads_neither_torch_nor_the_engine():
    names = [
        *without_torch(),
        "geo_nemo.cli.main",
        "geo_nemo.cli.plan",
        "geo_nemo.cli.status",
        "geo_nemo.cli.gc",
        "geo_nemo.cli.notify",
        "geo_nemo.cli.train",
    ]
    code = (
        (
            "import importlib, sys\n"
            f"for name in {names!r}:\n"
            "    importlib.import_module(name)\n"
            f"    loaded = {('torch', *ENGINE)!r} & sys.modules.keys()\n"
            "    assert not loaded, (name, loaded)\n"
        )
        .replace("('torch'", "{'torch'")
        .replace("'nemo')", "'nemo'}")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_help_of_every_command_needs_no_torch():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from geo_nemo.cli.main import COMMANDS, cli\n"
        "for name in COMMANDS:\n"
        "    result = CliRunner().invoke(cli, [name, '--help'])\n"
        "    assert result.exit_code == 0, (name, result.exception)\n"
        "    assert 'Example: geo-nemo ' + name in result.output, name\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_no_file_is_longer_than_the_bound():
    files = [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_every_module_says_what_it_is_for():
    silent = [
        name
        for name, path in MODULES.items()
        if (text := path.read_text(encoding="utf-8")).strip()
        and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []
