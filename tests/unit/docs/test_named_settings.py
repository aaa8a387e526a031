"""Each setting that a message of the code names with a value is one that a command takes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from data_prep.config import Prep
from data_prep.synth import Synth
from eval.atlas.config import AtlasConfig
from eval.config import EvalConfig, ReportConfig
from eval.probe.config import ProbeConfig
from geo_nemo.config import Run
from geo_nemo.config.launch import Launch
from geo_nemo.config.tune import Tune

ROOT = Path(__file__).parents[3]
SCHEMAS = (
    Prep, Synth, EvalConfig, ReportConfig, AtlasConfig, ProbeConfig, Run, Launch, Tune,
)  # fmt: skip
# `name=value` of a sentence; a placeholder for what is behind a dot is a name of the user's own.
NAMED = re.compile(r"(?<![\w.{}-])([a-z_]+(?:\.[a-z_]+)*)=(?![=~])")
# Sections whose errors begin with where they stand, so that they name what is in them.
SECTIONS = "config"
# Mappings whose keys are the user's.
FREE = ("runs.", "fields.extra.", "stages.")
# What is no setting of a command, by the folder of the code: options of other programs and
# libraries, conditions on documents, groups of recipes, and attributes of drawings.
OTHERS = {
    "data_prep/read": {"lines", "orient", "property"},
    "data_prep/annotate": {"q"},
    "data_prep/store_tools": {"country"},
    "geo_nemo/cli": {"country", "experiment", "host", "tuning", "typical_p"},
    "geo_nemo/data/sampling.py": {"windows_per_epoch"},
    "geo_nemo/diagnostics": {"memlock"},
    "geo_nemo/export": {"add_special_tokens", "max_new_tokens", "return_tensors", "tokenize"},
    "geo_nemo/generate": {"class", "topic"},
    "geo_nemo/integrations": {"average_in_collective", "calculate_per_token_loss"},
    "geo_nemo/model/hugging_face_config.py": {"sliding_window"},
    "geo_nemo/reporting": {"class", "height", "id", "role", "width"},
    "geo_nemo/runtime": {"charset"},
    "geo_nemo/tokenizers/hard_texts.py": {"d"},
    "geo_nemo/train/megatron_dataset.py": {"blend_per_split"},
    "geo_nemo/config/load.py": {"experiment", "key"},
    "geo_nemo/config/policy.py": {"loss_weights.metadata"},
    "geo_nemo/diagnostics/limits.py": {"vm.max_map_count"},
    "geo_nemo/integrations/nemo_run.py": {"run.executor.account", "run.executor.signal"},
    "geo_nemo/tokenizers/hugging_face.py": {"model.dropout"},
}


def keys(schema: type[BaseModel], above: str = "", deep: int = 6) -> Iterator[str]:
    """Settings of a schema, also of sections in lists and mappings."""
    for name, field in schema.model_fields.items():
        yield above + name
        waiting: list[Any] = [field.annotation]
        while waiting and deep:
            kind = waiting.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, f"{above}{name}.", deep - 1)
            waiting += getattr(kind, "__args__", ())


def sentences(path: Path) -> Iterator[str]:
    """Texts of a module that have a space, but for what documents the code."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and " " in text and id(node) not in documents:
            yield text


KEYS = {key for schema in SCHEMAS for key in keys(schema)}
LAST = {key.rpartition(".")[2] for key in KEYS}


def unknown(path: Path) -> set[str]:
    """What the sentences of a module name with a value, and no command takes."""
    where = path.relative_to(ROOT).as_posix()
    allowed = {name for place, names in OTHERS.items() if where.startswith(place) for name in names}
    named = {name for text in sentences(path) for name in NAMED.findall(text)} - allowed - KEYS
    if SECTIONS in path.relative_to(ROOT).parts[:-1]:
        named -= LAST
    return {name for name in named if not name.startswith(FREE)}


@pytest.mark.parametrize("package", ["geo_nemo", "data_prep", "eval"])
def test_a_setting_that_a_message_names_is_one_that_there_is(package):
    found = {path: unknown(path) for path in sorted((ROOT / package).rglob("*.py"))}
    assert {str(path.relative_to(ROOT)): names for path, names in found.items() if names} == {}


def test_a_setting_that_is_none_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    module = tmp_path / "a.py"
    module.write_text('"""The a=1 of it."""\nx = "give corpus.format=parquet or corpus=parquet"\n')
    assert unknown(module) == {"corpus.format"}
