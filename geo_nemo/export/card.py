"""The README of an export: how the model was trained, and how to tell it where a text is from."""

from collections.abc import Iterator, Mapping
from typing import Any

from geo_nemo.config import MetadataPolicy
from geo_nemo.export.source import Source
from geo_nemo.metadata.compose import (
    CONTENT_LABEL,
    FIELD_NAMES,
    SEPARATOR,
    TITLE_LABEL,
    Composer,
)
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.model.shape import parameter_count

EXAMPLE = MetadataRecord("bbc.co.uk", "gb", "Europe", path="/news/business")
TITLE, BODY = "Rail fares to rise", "The price of"


def card(source: Source, record: Mapping[str, Any], has_tokenizer_json: bool) -> str:
    """Markdown. record: `training_record` of the same export."""
    run, tokenizer = source.run, source.tokenizer
    bos, eos = tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id])
    prompt = f"{prompt_of(source)} {TITLE}{SEPARATOR}{CONTENT_LABEL}"
    parts = [
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [geo_nemo]\n---",
        f"# {run.name}, step {source.step:,}",
        f"A Llama of {parameter_count(run.model, tokenizer.vocab_size):,} parameters "
        f"({record['dtype']}), trained by geo_nemo {record['geo_nemo']} on rows of "
        f"{run.data.seq_length:,} tokens.",
        "## Prompts",
        f"A document was trained on in this form, between {bos} and {eos}:",
        f"```\n{prompt} {BODY} ...\n```",
        "\n".join(_about_the_prompt(source)),
    ]
    if has_tokenizer_json:
        parts.append(f"```python\n{_code(prompt)}\n```")
    else:
        parts.append(
            "There is no tokenizer.json: its ids would not be those of the tokenizer beside this "
            f"file. Give that one's ids to the model, behind {bos}."
        )
    parts += ["## Training", _table(source, record), _weights(source, record)]
    return "\n\n".join(parts) + "\n"


def prompt_of(source: Source) -> str:
    """What stands before a title, of the first stage that puts metadata in front."""
    policies = [stage.metadata for stage in source.run.stages.values()]
    policy = next((p for p in policies if p.fields and p.position == "prepend"), None)
    if policy is None:
        return TITLE_LABEL
    composer = Composer(policy, source.tokenizer)
    lines = (
        composer.field_text(field, EXAMPLE, number == 0)
        for number, field in enumerate(policy.fields)
    )
    return f"{''.join(lines)}{SEPARATOR}{TITLE_LABEL}"


def _about_the_prompt(source: Source) -> Iterator[str]:
    policies = {name: stage.metadata for name, stage in source.run.stages.items()}
    last = list(policies)[-1]
    if any(policy.fields for policy in policies.values()) and not policies[last].fields:
        yield (
            f"- The last stage, {last}, had no metadata: there a document begins with "
            f"`{TITLE_LABEL}` or, without a title, with `{CONTENT_LABEL}`."
        )
    else:
        yield f"- A document without a title has `{CONTENT_LABEL}` behind its metadata."
    if all(policy.mask_loss for policy in policies.values()):
        yield (
            "- Metadata and labels were out of the loss, so the model does not write them: behind "
            f"a title, give `{CONTENT_LABEL}` too."
        )
    yield "- The space behind a label belongs to the text: leave none at a prompt's end."


def _code(prompt: str) -> str:
    return f"""from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."
tokenizer = AutoTokenizer.from_pretrained(folder)  # puts BOS in front
model = AutoModelForCausalLM.from_pretrained(folder)
prompt = tokenizer({prompt!r}, return_tensors="pt")
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=40)[0]))"""


def _table(source: Source, record: Mapping[str, Any]) -> str:
    rows = [
        "| stage | steps | metadata | documents | tokens of text | of metadata |",
        "|---|---|---|---|---|---|",
    ]
    for name, counted in record["ledger"].get("stages", {}).items():
        trained = counted["trained"]
        policy = source.run.stages[name].metadata
        numbers = (trained[key] for key in ("documents", "text_tokens", "metadata_tokens"))
        rows.append(
            f"| {name} | {counted['steps']:,} | {_policy(policy)} | "
            + " | ".join(f"{number:,}" for number in numbers)
            + " |"
        )
    return "\n".join(rows)


def _policy(policy: MetadataPolicy) -> str:
    if not policy.fields:
        return "none"
    names = ", ".join(FIELD_NAMES[field] for field in policy.fields)
    return names if policy.position == "prepend" else f"{names}, after the text"


def _weights(source: Source, record: Mapping[str, Any]) -> str:
    kind = "the average of the weights" if record["weights"] == "average" else "the weights"
    return (
        f"These are {kind} after step {source.step:,}. `training.json` has the settings of each "
        "stage, what was read by country, and the hashes of store and tokenizer."
    )
