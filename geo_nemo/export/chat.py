"""The chat template of an export: a conversation as a document, with `metadata={...}` in front.

    <s>COUNTRY: ng\\n\\nCONTENT: Who leads?\\n\\nANSWER: Tavelly</s>CONTENT: Since when? ...

A user's turn is what training knows as a body: its bytes, those of its title and of its metadata
are the composer's. What the assistant says begins with the space behind ANSWER: and ends with EOS.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from geo_nemo.common.files import read_json, understood
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.load import validate
from geo_nemo.config.template import LABEL, VALUE
from geo_nemo.metadata.fields import Line, lines_of
from geo_nemo.metadata.geography import UNKNOWN, countries
from geo_nemo.metadata.meta_tokens import meta_names
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.train.origin import EXPORTED

NAME = "chat_template.jinja"
# Stands between a user's turn and the answer, which follows behind a space.
ANSWER = "\n\nANSWER:"


def chat_template(
    policy: MetadataPolicy, countries_told: Iterable[str] = (), control: Iterable[str] = ()
) -> str:
    """Jinja, for `apply_chat_template(messages, metadata={...}, title=...)` of transformers.

    countries_told: those that the model was told, where that is known; another one is an error.
    control: control tokens by name, which no value may hold.
    """
    template = policy.text
    settings = {
        "lines": [_line(line, template.line) for line in lines_of(policy)],
        "names": sorted({name for line in lines_of(policy) for name in _names(line)}),
        "meta_tokens": "".join(meta_names(policy.meta_tokens)),
        "between": template.between,
        "after": template.after,
        "title_label": template.label("title"),
        "body_label": template.label("body"),
        "answer_label": ANSWER,
        "appends": policy.position == "append",
        "countries": sorted(set(countries_told) - {UNKNOWN}),
        "continents": _continents(policy),
        "control": sorted({*control, *template.control}),
    }
    body = (files("geo_nemo.export") / NAME).read_text("utf-8")
    sets = [f"{{%- set {name} = {_literal(value)} -%}}\n" for name, value in settings.items()]
    return "".join(sets) + body


def told(policy: MetadataPolicy, record: MetadataRecord) -> dict[str, str]:
    """What a document's metadata are to the template: what stands behind each label."""
    values = {line.name: line.value(record) for line in lines_of(policy)}
    return {name: value for name, value in values.items() if value is not None}


def names_of(policy: MetadataPolicy) -> dict[str, tuple[str, ...]]:
    """The names under which each field of a policy is told, by field."""
    return {line.name: _names(line) for line in lines_of(policy)}


def policy_with_metadata(policies: Iterable[MetadataPolicy]) -> MetadataPolicy:
    """That of the first stage with metadata, else of the first."""
    given = list(policies)
    return next((policy for policy in given if policy.fields), given[0])


def policy_of_folder(folder: Path) -> MetadataPolicy | None:
    """What the model of a folder was told in training; None where no export of ours wrote it."""
    path = folder / EXPORTED
    if not path.is_file():
        return None
    record = read_json(path, "export the model anew")
    with understood(path, "export the model anew"):
        stages = [dict(stage["metadata"]) for stage in record["stages"].values()]
    if not stages:
        raise UserError(f"{path} tells of no stages: export the model anew")
    return policy_with_metadata([validate(str(path), MetadataPolicy, each) for each in stages])


def countries_of(ledger: Mapping[str, Any]) -> set[str]:
    """The countries that a ledger counts, over all stages and all runs before; none: not known."""
    runs = [*ledger.get("before", []), ledger]
    counted = [stage["trained"] for run in runs for stage in run.get("stages", {}).values()]
    return {country for trained in counted for country in trained.get("by_country", {})}


def _line(line: Line, text: str) -> dict[str, Any]:
    before, _, after = (part.replace(LABEL, line.label) for part in text.partition(VALUE))
    return {"names": list(_names(line)), "before": before, "after": after}


def _names(line: Line) -> tuple[str, ...]:
    """The field's own name and, where it is written as one column says, that column's."""
    same = line.columns if line.form in ("plain", "host") and len(line.columns) == 1 else ()
    return tuple(dict.fromkeys((line.name, *same)))


def _continents(policy: MetadataPolicy) -> dict[str, str]:
    """Of each country, where a model was told both."""
    if not {"country", "continent"} <= set(policy.fields):
        return {}
    return {code: country.continent for code, country in sorted(countries().items())}


def _literal(value: Any) -> str:
    """A value as Jinja writes it, which for these is JSON."""
    return json.dumps(value, ensure_ascii=False)
