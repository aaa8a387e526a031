"""Parts of a model card: data, accounting by country, evaluation, conversations, use, limits."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geo_nemo.common.files import read_json, understood
from geo_nemo.common.seal import check_seal
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.average import Weights
from geo_nemo.export.chat import ANSWER, names_of
from geo_nemo.export.source import Source

COUNTED = ("documents", "text_tokens", "metadata_tokens")
NOT_STATED = "other"


def read_evaluation(folder: Path) -> dict[str, Any]:
    """`eval.json` of an output folder of `geo-nemo eval`; `UserError` where there is none."""
    give = "give the output folder of geo-nemo eval"
    found = read_json(folder / "eval.json", give)
    with understood(folder / "eval.json", give):
        measured = all(isinstance(run, dict) for run in found["runs"].values())
        if not (measured and isinstance(found["perplexity"].get("cells", []), list)):
            raise UserError(f"{folder}/eval.json is no evaluation of geo-nemo eval; {give}")
    check_seal(folder / "eval.json", found, "run the same geo-nemo eval again")
    return found


def check_evaluation(found: Mapping[str, Any], source: Source, weights: Weights) -> None:
    """Raise `UserError` where it did not measure these weights."""
    if not _runs(found, source):
        raise UserError(
            f"the evaluation measured {', '.join(found['runs'])}, and none of them is step "
            f"{source.step} of {source.run.name}: give one of this run, or leave --evaluation out"
        )
    measured = (found.get("config") or {}).get("weights", "trained")
    if measured != weights:
        raise UserError(
            f"the evaluation measured the weights {measured}, and these are {weights}: give one of "
            f"geo-nemo eval weights={weights}, or --weights {measured}, or leave --evaluation out"
        )


def data(source: Source, record: Mapping[str, Any]) -> str:
    """What was read, by hashes and counts."""
    fingerprint, ledger = record["fingerprint"], record["ledger"]
    text = (
        f"A token store with the hash `{str(fingerprint.get('store', 'unknown'))[:16]}`, in tokens "
        f"of a tokenizer of the kind {source.tokenizer.kind} with {source.vocab_size:,} "
        f"entries (`{source.tokenizer.sha256[:16]}`)."
    )
    before = [
        f"{run['run']} (store `{str(run['store'])[:16]}`)" for run in ledger.get("before", [])
    ]
    if before:
        text += f" The first weights were those of {', then '.join(before)}."
    return text


def by_country(record: Mapping[str, Any]) -> str:
    """A table of all that the weights were trained on, over all stages and runs before."""
    ledger = record["ledger"]
    totals: dict[str, Counter] = {}
    for run in (*ledger.get("before", []), ledger):
        for stage in run.get("stages", {}).values():
            for country, counted in stage["trained"].get("by_country", {}).items():
                of = totals.setdefault(country, Counter())
                of.update({key: counted[key] for key in COUNTED})
    if not totals:
        return "The run counted by other fields than the country: see `training.json`."
    whole = sum(of["text_tokens"] for of in totals.values()) or 1
    rows = [
        "| country | documents | tokens of text | of all | of metadata |",
        "|---|---|---|---|---|",
    ]
    for country, of in sorted(totals.items(), key=lambda item: -item[1]["text_tokens"]):
        documents, text, metadata = (of[key] for key in COUNTED)
        rows.append(f"| {country} | {documents:,} | {text:,} | {text / whole:.1%} | {metadata:,} |")
    return "\n".join(rows)


def _condition(cell: Mapping[str, Any]) -> str:
    """What the model was told; older evaluations call it an arm."""
    return cell["condition"] if "condition" in cell else cell["arm"]


def evaluation(found: Mapping[str, Any], source: Source) -> str:
    """Perplexity and answers of this run by what it was told, as `geo-nemo eval` measured them."""
    named = _runs(found, source)
    parts = [f"By `geo-nemo eval`, {found.get('finished', 'at an unknown time')}."]
    cells = [
        f"| {_condition(cell)} | {cell['perplexity']:.3f} | {_interval(cell)} "
        f"| {cell['documents']:,} |"
        for cell in found["perplexity"].get("cells", [])
        if cell["run"] in named and cell["group"] == "all" and cell["part"] == "text"
    ]
    if cells:
        head = ["| told | perplexity | interval | documents |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *cells]))
    asked = found.get("questions") or {}
    answers = [
        f"| {cell['kind']} | {_condition(cell)} | {cell['accuracy']:.1%} | {_interval(cell)} |"
        for cell in asked.get("cells", [])
        if cell["run"] in named and cell["rule"] == asked["rule"] and cell.get("group") == "all"
    ]
    if answers:
        head = ["| questions | told | right | interval |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *answers]))
    return "\n\n".join(parts)


def use(policy: MetadataPolicy) -> str:
    """What the model is for, and what it is not."""
    names = [" or ".join(f"`{name}`" for name in each) for each in names_of(policy).values()]
    told = "- It was told nothing of its texts' origin."
    if names:
        told = (
            f"- It may be told {', '.join(names)} of a text, and then writes as texts of that "
            "origin do."
        )
    return "\n".join([
        "- For research, and as the base of models that answer for a place.",
        told,
        "- It knows what its documents say, also where that is wrong, old or one-sided; of "
        "countries with few documents it knows little (see the table above).",
        "- What it says of a country is what texts from there say: nobody there has stated it.",
        "- It has not been aligned or tested for safety: check what it writes before others "
        "see it.",
    ])  # fmt: skip


def chat(policy: MetadataPolicy, example: Mapping[str, str]) -> str:
    """How to talk to it: the template's arguments."""
    told = f", metadata={json.dumps(dict(example), ensure_ascii=False)}" if example else ""
    return (
        "`apply_chat_template` makes a conversation a document: a user's turn is a text, and the "
        f"answer stands behind `{ANSWER.strip()}`. A model that was not tuned continues texts; it "
        "has seen no conversation.\n\n"
        "```python\n"
        'messages = [{"role": "user", "content": "The price of"}]\n'
        f"text = tokenizer.apply_chat_template(messages, tokenize=False{told})\n"
        "```\n\n"
        "vLLM takes the same as `chat_template_kwargs`. A field that training did not have, "
        "another country than those of the table, or a value of two lines is an error."
    )


def licence(name: str | None) -> str:
    """A section's text."""
    if name:
        return f"{name}."
    return "Not stated by who exported it. The terms of the training data hold."


def _runs(found: Mapping[str, Any], source: Source) -> list[str]:
    """The names under which an evaluation measured this checkpoint."""
    folders = {source.place, str(Path(source.place).parents[1]) if "/" in source.place else ""}
    resolved = {str(Path(folder).resolve()) for folder in folders if folder}
    return [
        name
        for name, run in found["runs"].items()
        if run.get("step") == source.step
        and str(Path(str(run.get("folder"))).resolve()) in resolved
    ]


def _interval(cell: Mapping[str, Any]) -> str:
    low, high = cell.get("low"), cell.get("high")
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
