"""What a page names is there: settings, options, variables, targets of make, extras, imports."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from benchmarks.__main__ import benchmarks
from geo_nemo.cli.main import cli
from tests.unit.docs.test_commands import PAGES
from tests.unit.docs.test_named_settings import KEYS

ROOT = Path(__file__).parents[3]
CODE = ("geo_nemo", "data_prep", "eval", "benchmarks", "slurm", "tests", "Makefile", "Dockerfile")
OURS = ("geo_nemo", "data_prep", "eval", "benchmarks")
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}
# A setting within a sentence: dots join its parts, and its value or nothing stands behind it.
SETTING = re.compile(r"(?<![\w./@<-])((?:[a-z_]+\.)+[a-z_0-9]+)(?![\w.(/])")
MAPPINGS = ("runs.", "fields.extra.", "balance.cap.", "logging.options.")
# Options and settings of other programs.
THEIRS = {
    "--batch", "--build-arg", "--container-name", "--dryrun", "--entrypoint", "--gpus-per-task",
    "--no-deps", "--phase-transition-iterations", "--signal", "--user",
    "checkpoint.initial_load_in_hf",
}  # fmt: skip
FILES = re.compile(r"\.(json|jsonl|yaml|html|md|py|sh|csv|npz|txt|bin|model|log)$")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def spans(page: Path) -> list[str]:
    """What a page's sentences and tables set apart, but for commands, which have a test."""
    plain = re.sub(r"^```\w*\n.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]
    return [span for span in found if not re.match(r"(geo-nemo|python|nemo|torchrun) ", span)]


def setting_of(word: str) -> str:
    return re.sub(r"^stages\.\w+\.", "stages.", word)


def options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        for inner in command.commands.values() if command.commands else named(command):
            yield from options(inner)


def named(group: click.Group) -> Iterator[click.Command]:
    context = click.Context(group)
    for word in group.list_commands(context):
        if (command := group.get_command(context, word)) is not None:
            yield command


def is_there(dotted: str) -> bool:
    """Whether a module of ours has that name, or one holds it at its top."""
    *above, last = dotted.split(".")
    place = ROOT.joinpath(*above)
    if (place / last).is_dir() or (place / f"{last}.py").is_file():
        return True
    module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return module.is_file() and re.search(rf"\b{last}\b", module.read_text("utf-8")) is not None


@each_page
def test_a_setting_that_a_page_names_is_one_that_there_is(page):
    words = {word for span in spans(page) for word in SETTING.findall(span)}
    words = {
        word for word in words if word.partition(".")[0] in SECTIONS and not FILES.search(word)
    }
    unknown = {word for word in words if setting_of(word) not in KEYS} - THEIRS
    assert {word for word in unknown if not word.startswith(MAPPINGS)} == set()


@each_page
def test_an_option_that_a_page_names_is_one_of_our_commands(page):
    known = {*options(cli), *options(benchmarks), "--help", *THEIRS}
    written = {
        word for span in spans(page) for word in re.findall(r"(?<![\w-])--[a-z][\w-]+", span)
    }
    assert written - known == set()


@each_page
def test_a_variable_and_a_target_that_a_page_names_are_there(page):
    text = page.read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = {word for span in spans(page) for word in re.findall(r"^make ([a-z][\w-]*\w)", span)}
    assert {word for word in targets if not re.search(rf"^{word}:", makefile, re.M)} == set()
    variables = set(re.findall(r"\bGEO_NEMO_[A-Z_]+[A-Z]", text))
    files = [path for name in CODE for path in [ROOT / name, *(ROOT / name).rglob("*")]]
    kinds = {".py", ".sh", ".sbatch", ""}
    code = [path for path in files if path.suffix in kinds and path.is_file()] if variables else []
    here = "".join(path.read_text("utf-8", errors="ignore") for path in code)
    assert {name for name in variables if name not in here} == set()


@each_page
def test_an_extra_that_a_page_names_is_one_of_the_package(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = re.findall(r"'(?:geo-nemo|\.)\[([\w,]+)\]'", page.read_text("utf-8"))
    extras = {extra for words in named for extra in words.split(",")}
    assert extras - set(project["optional-dependencies"]) == set()


@each_page
def test_what_a_page_imports_of_ours_is_there(page):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    names = {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    names |= {word for span in spans(page) for word in re.findall(r"^[a-z_]+(?:\.\w+)+$", span)}
    ours = {name for name in names if name.startswith(tuple(f"{package}." for package in OURS))}
    gone = {name for name in ours if not FILES.search(name) and not is_there(name)}
    assert gone - groups() == set()


def groups() -> set[str]:
    """Groups of entry points that the code looks up."""
    modules = [path for package in OURS[:3] for path in (ROOT / package).rglob("*.py")]
    texts = [path.read_text("utf-8") for path in modules]
    asking = [text for text in texts if "Kind(" in text or "ENTRY_POINTS = " in text]
    found = {name for text in asking for name in re.findall(r'"(geo_nemo\.[a-z_]+)"', text)}
    return {name for name in found if not (ROOT / name.replace(".", "/")).is_dir()} | {
        "geo_nemo.tokenizers"
    }


def test_the_page_of_what_users_bring_has_each_group_of_entry_points():
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    table = re.findall(r"^\|.*`(geo_nemo\.\w+)`.*\|", page, re.MULTILINE)
    assert set(table) == groups()
