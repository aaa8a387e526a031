"""Options of `geo-nemo generate` that are settings of transformers' GenerationConfig."""

from collections.abc import Mapping
from typing import Any

import click

from geo_nemo.common.parse import parse_yaml
from geo_nemo.config import UserError
from geo_nemo.config.section import SEEDS

SEED = click.IntRange(0, SEEDS, max_open=True)
# Options of the command that are transformers' own; any other goes by --set.
_COUNT, _FRACTION = click.IntRange(1), click.FloatRange(0, 1)
SAMPLING = {
    "max_new_tokens": (_COUNT, "Tokens to write at most; 128 where it is not given."),
    "temperature": (
        click.FloatRange(0, 100),
        "Above 0; with any of these four it samples, else it takes the best.",
    ),
    "top_p": (_FRACTION, "Sample among the likeliest tokens with this much probability together."),
    "top_k": (_COUNT, "Sample among so many tokens."),
    "min_p": (_FRACTION, "Sample among tokens with this much of the likeliest one's probability."),
    "repetition_penalty": (
        click.FloatRange(0, 100, min_open=True),
        "Above 1, what stands there already becomes less likely.",
    ),
    "no_repeat_ngram_size": (_COUNT, "Never write so many tokens twice."),
    "num_beams": (click.IntRange(1, 256), "Beam search of so many."),
}
DRAWS = ("temperature", "top_p", "top_k", "min_p")
# Settings of transformers that are of sampling, too, and come by --set.
ALSO_DRAW = ("typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")
# Settings that have an option of their own, and such as would make the output another thing.
INSTEAD = {name: f"--{name.replace('_', '-')}" for name in SAMPLING} | {
    "max_length": "--max-new-tokens", "num_return_sequences": "--samples", "stop_strings": "--stop",
    "guidance_scale": "--guidance",
}  # fmt: skip
NOT_HERE = ("bos_token_id", "eos_token_id", "pad_token_id", "return_dict_in_generate")


def sampling_options(command: Any) -> Any:
    """Give a command an option for each."""
    for name, (kind, words) in reversed(SAMPLING.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=words)(command)
    return command


def generation_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' GenerationConfig gets."""
    found = {name: given[name] for name in SAMPLING if given[name] is not None}
    for word in given["others"]:
        name, sign, value = word.partition("=")
        if not sign:
            raise UserError(f"--set {word}: give name=value, as --set typical_p=0.9")
        if name in INSTEAD:
            raise UserError(f"--set {name}: give {INSTEAD[name]} in its place")
        if name in NOT_HERE or name.startswith("output_"):
            raise UserError(f"--set {name}: it is not to be set here, leave it out")
        try:
            found[name] = parse_yaml(value)
        except ValueError:
            raise UserError(f"--set {word}: give name=value, as --set typical_p=0.9") from None
    if found.get("temperature") == 0:
        raise UserError("--temperature 0: leave it out, and the best token is taken each time")
    if given["guidance"] != 1 and found.get("num_beams", 1) > 1:
        raise UserError("--guidance does not go with --num-beams: leave one out")
    draws = any(name in found for name in (*DRAWS, *ALSO_DRAW)) or given["samples"] > 1
    found.setdefault("do_sample", draws)
    found.setdefault("max_new_tokens", 128)
    if given["samples"] < 1 or given["batch_size"] < 1:
        raise UserError("--samples and --batch-size are 1 or more")
    return found
