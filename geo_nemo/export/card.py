"""The README of an export: how the model was trained, and how to tell it where a text is from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenizers import Tokenizer as Backend

from geo_nemo.config import MetadataPolicy
from geo_nemo.export import card_parts
from geo_nemo.export.chat import countries_of, policy_with_metadata, told
from geo_nemo.export.hosts import by_host
from geo_nemo.export.source import Source
from geo_nemo.export.tokenizer_files import FOR_QWENS, taken_for_qwens
from geo_nemo.metadata.compose import (
    CONTENT_LABEL,
    NEWLINE,
    SEPARATOR,
    TITLE_LABEL,
    Composer,
)
from geo_nemo.metadata.fields import lines_of
from geo_nemo.metadata.geography import continent_of, countries
from geo_nemo.metadata.meta_tokens import meta_names
from geo_nemo.metadata.record import KEY_OF, MetadataRecord
from geo_nemo.model.hugging_face_config import architecture
from geo_nemo.model.shape import parameter_count
from geo_nemo.train.hosts import HostCount

EXAMPLE = MetadataRecord(
    "bbc.co.uk", "gb", "Europe", path="/news/business", year=2024, quality=80, source="news"
)


@dataclass(frozen=True, slots=True)
class About:
    """What a card says beside what the run tells.

    evaluation: `eval.json` that measured these weights. licence: its SPDX name.
    """

    evaluation: Mapping[str, Any] | None = None
    licence: str | None = None


NOTHING_SAID = About()
TITLE, BODY = f" Rail fares to rise{SEPARATOR}", " The price of ..."


def card(
    source: Source,
    record: Mapping[str, Any],
    backend: Backend | None,
    about: About = NOTHING_SAID,
    hosts: Sequence[HostCount] | None = None,
) -> str:
    """Markdown. record: `training_record` of the same export. backend: of its tokenizer.json."""
    run, tokenizer = source.run, source.tokenizer
    bos, eos = tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id])
    policy = _policy_of(source)
    prompt = prompt_parts(source)
    meta = "".join(meta_names(policy.meta_tokens))
    parameters, behind = parameter_count(run.model, source.vocab_size), ""
    if policy.position == "append":
        behind = SEPARATOR + NEWLINE.join(line.strip(NEWLINE) for line in _lines(source, policy))
    parts = [
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [geo_nemo]\n"
        f"license: {about.licence or card_parts.NOT_STATED}\n---",
        f"# {run.name}, step {source.step:,}",
        f"A {architecture(run.model)} of {parameters:,} parameters "
        f"({record['dtype']}), trained by geo_nemo {record['geo_nemo']} on rows of "
        f"{run.data.seq_length:,} tokens.",
        "## Prompts",
        f"A document was trained on in this form, between {bos} and {eos}:",
        f"```\n{meta}{''.join(prompt)}{_body(policy)}{behind}\n```",
        "\n".join(_about_the_prompt(source)),
    ]
    if backend is None:
        parts.append(
            "There is no tokenizer.json: its ids would not be those of the tokenizer beside this "
            f"file. Give that one's ids to the model, behind {bos}."
        )
    else:
        whole = backend.encode("".join(prompt)).ids == _ids(source, prompt)
        if not whole:
            parts.append(
                "Training tokenised the parts of a document one by one; of the whole text at once "
                "this tokenizer makes other ids."
            )
        shown = [meta + prompt[0], *prompt[1:]] if whole or not meta else [meta, *prompt]
        kind = "AutoTokenizer"
        if taken_for_qwens(run.model, backend):
            kind = "PreTrainedTokenizerFast"
            parts.append(FOR_QWENS)
        parts.append(f"```python\n{_code(shown, whole, kind)}\n```")
        parts += ["## Conversations", card_parts.chat(policy, _told(policy, record))]
    parts += ["## Data", card_parts.data(source, record)]
    parts += ["## Training", _table(source, record), _weights(source, record)]
    parts += ["## By country", card_parts.by_country(record)]
    parts += ["## By host", by_host(hosts)]
    if about.evaluation is not None:
        parts += ["## Evaluation", card_parts.evaluation(about.evaluation, source)]
    parts += ["## Intended use and limits", card_parts.use(policy)]
    parts += ["## Licence", card_parts.licence(about.licence)]
    return "\n\n".join(parts) + "\n"


def unsaid(text: str, source: Source, about: About) -> str:
    """The option whose words a card that is there does not have; empty: it has all."""
    if about.licence and f"\nlicense: {about.licence}\n" not in text:
        return "--licence"
    measured = about.evaluation
    if measured is not None and card_parts.evaluation(measured, source) not in text:
        return "--evaluation"
    return ""


def prompt_parts(source: Source) -> list[str]:
    """What stands before a body, in the parts that training tokenises one by one."""
    policy = _policy_of(source)
    if policy.is_whole:
        composer = Composer(policy, source.tokenizer)
        shown = _example(policy) if policy.position == "prepend" else None
        told = composer.whole_text(shown, TITLE.removeprefix(" "), "")
        return [told.removesuffix(" ")]
    lines = _lines(source, policy) if policy.position == "prepend" else []
    block = [*lines, SEPARATOR] if lines else []
    return [*block, TITLE_LABEL, TITLE, CONTENT_LABEL]


def _body(policy: MetadataPolicy) -> str:
    spaced = not policy.has_own_text or policy.text.label("body").endswith(" ")
    return BODY if spaced else BODY.removeprefix(" ")


def _policy_of(source: Source) -> MetadataPolicy:
    """That of the first stage with metadata, else of the first."""
    return policy_with_metadata(stage.metadata for stage in source.run.stages.values())


def _lines(source: Source, policy: MetadataPolicy) -> list[str]:
    return list(Composer(policy, source.tokenizer).block_texts(_example(policy)))


def _example(policy: MetadataPolicy) -> MetadataRecord:
    """A document that has every field."""
    own = {column for line in lines_of(policy) for column in line.columns} - KEY_OF.keys()
    return replace(EXAMPLE, extra=dict.fromkeys(own, "..."))


def _told(policy: MetadataPolicy, record: Mapping[str, Any]) -> dict[str, str]:
    """The example's metadata, with a country that the model knows."""
    shown, known = _example(policy), sorted(countries_of(record["ledger"]) & countries().keys())
    if known and shown.country not in known:
        shown = replace(shown, country=known[0], continent=continent_of(known[0]))
    return {} if policy.position == "append" else told(policy, shown)


def _ids(source: Source, parts: list[str]) -> list[int]:
    tokenizer = source.tokenizer
    return [tokenizer.bos_id, *(token for part in parts for token in tokenizer.encode(part))]


def _about_the_prompt(source: Source) -> Iterator[str]:
    policies = {name: stage.metadata for name, stage in source.run.stages.items()}
    policy, last = _policy_of(source), list(policies)[-1]
    if source.run.model.group_embedding:
        yield (
            f"- In training an embedding of each document's {' and '.join(source.run.groups)} was "
            "added before the output layer. It is left out here."
        )
    if policy.meta_tokens:
        yield (
            f"- {policy.meta_tokens} learnt tokens, `{meta_names(1)[0]}` and on, stand behind BOS "
            "and in front of all else: give them, as the conversations' template does."
        )
    if policy.has_own_text:
        yield from _about_a_template(policy, policies[last], last)
        return
    begins = f"`{TITLE_LABEL}` or, without a title, with `{CONTENT_LABEL}`"
    if not policy.fields:
        yield f"- There was no metadata. A document begins with {begins}."
    elif policy.position == "append":
        yield f"- Metadata stood behind the text. A document begins with {begins}."
    elif policies[last].fields:
        yield f"- A document without a title has `{CONTENT_LABEL}` behind its metadata."
    else:
        yield f"- The last stage, {last}, had no metadata: there a document begins with {begins}."
    if not any(each.weights["metadata"] + each.weights["label"] for each in policies.values()):
        masked = "Metadata and labels" if policy.fields else "Labels"
        yield (
            f"- {masked} were out of the loss, so the model does not write them: behind a title, "
            f"give `{CONTENT_LABEL}` too."
        )
    yield "- The space behind a label belongs to the text: leave none at a prompt's end."


def _about_a_template(policy: MetadataPolicy, of_last: MetadataPolicy, last: str) -> Iterator[str]:
    labels = [label for name in ("title", "body") if (label := policy.text.label(name).strip())]
    if not labels:
        yield "- Titles and texts have no label; a document without a title begins with its text."
    elif not policy.weights["label"]:
        yield f"- {' and '.join(f'`{label}`' for label in labels)} were out of the loss: give them."
    if policy.fields and not of_last.fields:
        yield f"- The last stage, {last}, had no metadata: there a document begins with its text."
    if policy.fields and not policy.weights["metadata"]:
        yield "- Metadata were out of the loss, so the model does not write them."


def _code(parts: list[str], whole: bool, kind: str) -> str:
    if whole:
        prompt = f"""prompt = tokenizer({"".join(parts)!r}, return_tensors="pt")
written = model.generate(**prompt, max_new_tokens=40)[0]"""
    else:
        prompt = f"""parts = {parts!r}
ids = [tokenizer.bos_token_id]
for part in parts:
    ids += tokenizer(part, add_special_tokens=False)["input_ids"]
written = model.generate(torch.tensor([ids]), max_new_tokens=40)[0]"""
    imports = "" if whole else "import torch\n"
    return f"""{imports}from transformers import AutoModelForCausalLM, {kind}

folder = "."
tokenizer = {kind}.from_pretrained(folder)  # puts BOS in front
model = AutoModelForCausalLM.from_pretrained(folder)
{prompt}
print(tokenizer.decode(written))"""


def _table(source: Source, record: Mapping[str, Any]) -> str:
    rows = [
        "| stage | steps | metadata | documents | tokens of text | of metadata |",
        "|---|---|---|---|---|---|",
    ]
    for run in record["ledger"].get("before", []):
        for name, counted in run["stages"].items():
            rows.append(_stage(f"{name} of {run['run']}", counted, "see that run"))
    for name, counted in record["ledger"].get("stages", {}).items():
        rows.append(_stage(name, counted, _words(source.run.stages[name].metadata)))
    return "\n".join(rows)


def _stage(name: str, counted: Mapping[str, Any], metadata: str) -> str:
    trained = counted["trained"]
    numbers = (trained[key] for key in ("documents", "text_tokens", "metadata_tokens"))
    figures = " | ".join(f"{number:,}" for number in numbers)
    return f"| {name} | {counted['steps']:,} | {metadata} | {figures} |"


def _words(policy: MetadataPolicy) -> str:
    if not policy.fields:
        return "none"
    names = ", ".join(line.label for line in lines_of(policy))
    return names if policy.position == "prepend" else f"{names}, after the text"


def _weights(source: Source, record: Mapping[str, Any]) -> str:
    kind = "the average of the weights" if record["weights"] == "average" else "the weights"
    return (
        f"These are {kind} after step {source.step:,}. `training.json` has the settings of each "
        "stage, what was read by country, and the hashes of store and tokenizer."
    )
