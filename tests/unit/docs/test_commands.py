"""Each command that a page or a `--help` writes has the options and settings that it names, and a
job of it the processes that its batches go into.

Nothing is started, so files and folders that a command names need not be there.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from pydantic import BaseModel

from benchmarks.__main__ import benchmarks
from data_prep.config import Prep
from data_prep.config.kinds import READERS
from data_prep.synth import Synth
from eval.atlas.config import AtlasConfig
from eval.config import EvalConfig, ReportConfig
from eval.probe.config import ProbeConfig
from geo_nemo.cli.launch import divide
from geo_nemo.cli.main import COMMANDS, cli
from geo_nemo.cli.options import with_experiment
from geo_nemo.common.errors import UserError
from geo_nemo.config import Run
from geo_nemo.config.launch import Launch, Slurm
from geo_nemo.config.load import compose, validate
from geo_nemo.config.newest import with_newest
from geo_nemo.config.recipe_files import is_group
from geo_nemo.config.stage_bounds import different_texts
from geo_nemo.config.sweep import expand
from geo_nemo.config.tune import Tune, load_tune
from geo_nemo.train.setup import check_stage
from geo_nemo.tune.run import check_batch

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").glob("**/*.yaml"))
PROGRAMS = {
    "geo-nemo": cli,
    "python -m geo_nemo": cli,
    "python -m benchmarks": benchmarks,
    "benchmarks": benchmarks,
}
START = re.compile(rf"(?:[A-Z_]+=\S+ |torchrun .*?-m |srun )*({'|'.join(PROGRAMS)}|geo_nemo)(?= )")
SCHEMAS = {
    "synth": Synth, "prep": Prep, "eval": EvalConfig, "report": ReportConfig,
    "atlas": AtlasConfig, "probe": ProbeConfig, "launch": Launch, "train": Run,
}  # fmt: skip
TRAININGS = ("train", "audit", "index", "plan", "learn-weights")
# What a page leaves to its reader.
NEEDED = {
    "synth": ("output=O",),
    "prep": ("input=I", "output=O"),
    "eval": ("runs.some=R", "store=S", "output=O"),
    "report": ("eval=E", "output=O"),
    "atlas": ("runs.some=R", "benchmarks=B", "output=O"),
    "probe": ("runs.some=R", "store=S", "output=O"),
    "train": ("experiment=demo", "data.store=S", "output_dir=O"),
    "tune": ("data=D", "output=O"),
}
# Files that a reader makes first, as the page says; and settings whose value is the reader's.
MADE = re.compile(r"experiment=local\b|sampling=learnt\b|mine\.yaml|FILE\.json|EXPERIMENT|=( |$)")


def blocks(text: str) -> Iterator[str]:
    """Lines of code blocks; one that goes on behind a backslash or in quotation marks is one."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = ""
        for part in block.replace("\\\n", " ").splitlines():
            line = f"{line} {part}" if line else part
            if line.count("'") % 2 == 0 or "#" in line or '"' in line:
                yield line.strip()
                line = ""


def written(text: str) -> list[str]:
    """Commands of a page, of blocks and within sentences."""
    plain = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]
    return [line for line in (*blocks(text), *spans) if START.match(line)]


def epilogs(group: click.Group, name: str) -> Iterator[tuple[str, str]]:
    """Each example that `--help` of a program or its commands ends with."""
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        for line in (command.epilog or "").split("\n\n"):
            yield f"{name} {word}", line.partition(": ")[2] if ": " in line else line
        if isinstance(command, click.Group):
            yield from epilogs(command, f"{name} {word}")


def commented(text: str) -> Iterator[str]:
    """Commands in the comments at the head of a recipe."""
    lines = [line.removeprefix("#").strip() for line in text.splitlines() if line[:1] == "#"]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if START.match(line):
            yield line


def every_command() -> list[tuple[str, str]]:
    found = [(page.name, line) for page in PAGES for line in written(page.read_text("utf-8"))]
    found += [("geo-nemo", cli.epilog.partition(": ")[2])]
    found += [(file.name, line) for file in RECIPES for line in commented(file.read_text("utf-8"))]
    found += [*epilogs(cli, "geo-nemo"), *epilogs(benchmarks, "python -m benchmarks")]
    return list({line: (place, line) for place, line in found}.values())


def words_of(line: str) -> tuple[click.Group, list[str]]:
    """The program and its words; a comment, what the shell does and what is left out are gone."""
    match = START.match(line)
    words = shlex.split(line[match.end() :], comments=True)
    for number, word in enumerate(words):
        if word in ("|", ">", "&&", "<"):
            words = words[:number]
            break
    return PROGRAMS.get(match[1], cli), [word for word in words if word.strip("….") and word]


def check(line: str) -> None:
    """Raise what the command itself would say of its options and settings."""
    command, words = words_of(line)
    path = []
    while True:
        context = click.Context(command)
        values, rest, _ = command.make_parser(context).parse_args(list(words))
        if not isinstance(command, click.Group) or not rest:
            break
        path.append(rest[0])
        inner = command.get_command(context, rest[0])
        if inner is None:
            raise UserError(f"there is no command {' '.join(path)}")
        command, words = inner, rest[1:]
    if rest:
        raise UserError(f"words too many: {rest}")
    for parameter in command.params:
        value = values.get(parameter.name)
        if isinstance(value, str) and isinstance(parameter.type, click.Choice):
            parameter.type.convert(value, parameter, context)
    if path and not MADE.search(line):
        check_settings(path[0], values)


def check_settings(name: str, values: dict) -> None:
    values = {key: value for key, value in values.items() if isinstance(value, str | tuple | bool)}
    settings = values.get("overrides") or values.get("arguments") or ()
    slurm = None
    if name == "launch":
        asked, settings = divide(settings)
        slurm = load("launch", tuple(asked)).slurm
        for job, given in (("prep", "prep"), ("eval", "evaluate"), ("report", "report")):
            if values.get(given):
                load(job, tuple(shlex.split(values[given])))
        name = "tune" if values.get("tune") else "train"
    if name in TRAININGS:
        settings, name = with_experiment(settings), "train"
    if values.get("multirun") and settings:
        given = any(word.startswith("output_dir=") for word in settings)
        for each in expand((*settings, *(() if given else ("output_dir=O",)))):
            check_run(load(name, tuple(each)), slurm, each)
    else:
        check_run(load(name, tuple(settings)), slurm, settings)


def check_run(config: BaseModel | None, slurm: Slurm | None, settings: Iterable[str]) -> None:
    """Raise `UserError` where a training would be warned of its texts, and where a job's batches
    and layout do not go into its processes."""
    if isinstance(config, Run) and (warning := different_texts(config)):
        raise UserError(warning)
    if slurm is None or not any(word.startswith(("experiment=", "tuning=")) for word in settings):
        return
    if isinstance(config, Tune):
        check_batch(config, slurm.world_size)
    elif isinstance(config, Run):
        for stage in config.stages:
            check_stage(config, stage, config.model.make_vocab_size_divisible_by, slurm.world_size)


@cache  # many commands have the same settings
def load(name: str, settings: tuple[str, ...]) -> BaseModel | None:
    given = {word.partition("=")[0] for word in settings}
    needed = [word for word in NEEDED.get(name, ()) if word.partition("=")[0] not in given]
    if any(word.startswith(("runs.", "corpus=")) for word in settings):
        needed = [word for word in needed if not word.startswith(("runs.", "store="))]
    if name == "tune":
        return load_tune("tune", "M", (*needed, *settings))
    if name in SCHEMAS:
        few = name == "train" and needed[:1] == ["experiment=demo"] and "train.steps" not in given
        words = (*needed, *["train.steps=2000"] * few, *settings)
        return validate(name, SCHEMAS[name], composed(name, words))
    return None


def composed(name: str, settings: tuple[str, ...]) -> dict:
    """What `compose` makes of them: Hydra takes a tenth of a second to put recipes together, and
    most commands choose the same ones, and other values."""
    chosen = tuple(word for word in settings if chooses(word))
    config = OmegaConf.create(recipes_of(name, chosen))
    others = [f"++{word}" for word in settings if word not in chosen]
    for each in OverridesParser.create().parse_overrides(others):
        OmegaConf.update(config, each.key_or_group, each.value(), merge=True, force_add=True)
    return with_newest(OmegaConf.to_container(config, resolve=True))


def chooses(setting: str) -> bool:
    """Whether a setting is more than a value: it chooses a recipe, adds or removes."""
    key = setting.partition("=")[0]
    return key[:1] in "+~" or "@" in key or is_group(key)


@cache
def recipes_of(name: str, chosen: tuple[str, ...]) -> dict:
    return compose(name, chosen)


@pytest.fixture(autouse=True)
def plugin(monkeypatch):
    """The example package of docs/extending.md is installed."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "plugin")


@pytest.mark.parametrize(("place", "line"), every_command())
def test_a_command_that_is_written_has_its_options_and_settings(place, line):
    check(line)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("train", ("experiment=demo", "output_dir=O", "train.lr=1e-3", "stages.a={fraction: 0.5}",
                   "stages.condition.metadata.fields=[url,country]", "seed=${train.steps}")),
        ("train", ("output_dir=O", "metadata@stages.condition.metadata=none", "+model.x=[a,'b c']",
                   "~stages.cooldown", "name=null")),
        ("prep", ("input=[{path: a, set: {country: ke}}]", "clean.rules=[]", "output='a=b'")),
        ("eval", ("runs.a=R", "runs={b: S}", "conditions=[with,plain]")),
    ],
)  # fmt: skip
def test_values_beside_chosen_recipes_are_those_that_hydra_composes(name, settings):
    assert composed(name, settings) == compose(name, settings)


# Folders that a page may leave out of a path of the code.
ABOVE = ("", "geo_nemo", "data_prep", "eval", "tests", "docs", "recipes", "slurm")
# Of the reader, or of a job.
OF_OTHERS = {"select/nordics.yaml", "benchmarks/experiments/NAME.yaml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_of_the_code_that_a_page_names_is_there(page):
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|sh|yaml|md))`", page.read_text("utf-8"))
    missing = [path for path in named if not any((ROOT / above / path).exists() for above in ABOVE)]
    assert set(missing) <= OF_OTHERS


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=lambda page: page.name)
def test_the_demo_makes_what_is_read_of_its_folder(page):
    made = {"corpus", "prep", "with", "without", "eval", "report.html"}
    named = re.findall(r"runs/demo/([\w.-]+)", page.read_text("utf-8"))
    assert set(named) <= made | {"export", "compared", "qa"}  # and what the pages write there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_within_the_pages_leads_to_a_heading(page):
    for file, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", page.read_text("utf-8")):
        target = page.parent / file if file else page
        assert target.exists(), file
        if anchor:
            text = target.read_text("utf-8")
            heads = [re.sub(r"[^\w\- ]", "", head) for head in re.findall(r"^#+ (.*)", text, re.M)]
            there = {head.lower().replace(" ", "-") for head in heads}
            assert anchor in there | set(re.findall(r'id="([\w-]+)"', text)), (file, anchor)


def helped(*path: str) -> str:
    """The help of a command, in one line."""
    command: click.Command = cli
    for word in path:
        command = command.get_command(click.Context(command), word)
    return " ".join(command.get_help(click.Context(command, info_name=path[-1])).split())


def test_help_of_prep_names_every_format_that_it_reads():
    names = {"dataset": "Hugging Face dataset", "html": "saved web pages", "jsonl": "JSON Lines"}
    said = helped("prep", "run").lower()
    assert [name for name in READERS.known if names.get(name, name).lower() not in said] == []


def test_help_tells_of_a_run_s_record_where_it_is_taken_alone():
    takes = [name for name in COMMANDS if "--config FILE" in helped(name)]
    assert {"train", "eval", "report", "tune"} <= set(takes)
    assert [name for name in takes if "run.json" in helped(name)] == ["train"]


def left_out(schema: type[BaseModel], values: dict, above: str = "") -> Iterator[str]:
    """Settings of a schema that a recipe does not name."""
    for name, field in schema.model_fields.items():
        if name not in values:
            yield above + name
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from left_out(field.annotation, values[name], f"{above}{name}.")


@pytest.mark.parametrize("name", ["prep", "eval", "atlas", "probe", "report"])
def test_the_recipe_of_a_command_names_every_setting_with_its_default(name):
    written = yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text("utf-8"))
    missing = [key for key in left_out(SCHEMAS[name], written) if key != "metadata"]  # a group
    assert [key for key in missing if not key.startswith("fields.")] == []  # a comment has these
    open_ones: dict = {key: "x" for key, value in written.items() if value == "???"}
    if "runs" in written:
        open_ones |= {"runs": {"some": "R"}, "store": "S"}
    whole = SCHEMAS[name].model_validate(compose(name) | open_ones)
    assert whole == SCHEMAS[name].model_validate(open_ones)


def test_lists_of_commands_say_each_in_a_whole_sentence():
    for name in ("prep", "store", "outlets", "recipes"):
        assert "..." not in helped(name).partition(" Commands: ")[2].partition("Example:")[0], name
