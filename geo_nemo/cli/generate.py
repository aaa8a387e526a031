"""`geo-nemo generate`: have a model write, told a country, another, or nothing."""

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geo_nemo.cli.options import DiskFile, quiet_libraries
from geo_nemo.cli.sampling import SEED, generation_settings, sampling_options
from geo_nemo.config import UserError

if TYPE_CHECKING:
    from geo_nemo.generate.prompts import Prompt, Tells
    from geo_nemo.generate.writer import Writer, Written

EPILOG = 'Example: geo-nemo generate runs/tuned "Who leads us?" --compare ng,gb,none'
LEAVES = ("/quit", "/exit")
# Options that a talk has no use for.
_OF_PROMPTS = ("out", "compare", "title", "samples", "batch_size")


@click.command(epilog=EPILOG)
@click.argument("model", metavar="MODEL")
@click.argument("prompt", required=False, metavar="[PROMPT]")
@click.option("--file", "file", metavar="FILE", help="Prompts: JSON Lines, or a text line by line.")
@click.option(
    "--out",
    metavar="FILE",
    type=DiskFile(),
    help="Write JSON Lines here instead of to the terminal.",
)
@click.option("--country", metavar="CODE", help="Tell where the text is from.")
@click.option("--host", metavar="NAME", help="Tell the host of its URL.")
@click.option("--tell", multiple=True, metavar="NAME=VALUE", help="Tell any field of the model's.")
@click.option("--title", default="", metavar="TEXT", help="Of the document that is written.")
@click.option("--compare", metavar="LIST", help="Several countries and none, side by side.")
@click.option("--guidance", default=1.0, metavar="SCALE", help="Told against not told; 1 is none.")
@click.option(
    "--chat/--document", default=None, help="Answer, or go on with a text. [by the model]"
)
@sampling_options
@click.option("--set", "others", multiple=True, metavar="NAME=VALUE", help="Any of transformers'.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text.")
@click.option("--samples", default=1, show_default=True, help="Texts for each prompt.")
@click.option(
    "--seed", default=0, type=SEED, show_default=True, help="The same seed gives the same text."
)
@click.option("--batch-size", default=1, show_default=True, help="Prompts of a file at once.")
@click.option("--base", metavar="FOLDER", help="The model that an adapter belongs to.")
@click.option("--device", default="auto", type=click.Choice(("auto", "cpu", "gpu")))
@click.option("--dtype", default="auto", type=click.Choice(("auto", "fp32", "bf16")))
def command(model: str, prompt: str | None, file: str | None, **given: Any) -> None:
    """Have MODEL, a Hugging Face folder or an adapter, write behind PROMPT.

    Without a prompt it talks: each line is a turn, /new begins anew, /tell country=gb tells
    something else, /quit ends. A pipe is one prompt.
    """
    quiet_libraries()
    from geo_nemo.export.loaded import load_model, load_tokenizer, open_folder
    from geo_nemo.generate.prompts import (
        Prompt,
        Tells,
        compared,
        is_for_chat,
        parse_tell,
        read_prompts,
    )

    if prompt is not None and file is not None:
        raise UserError("a prompt and --file: give one of them")
    if given["out"] and Path(given["out"]).exists():
        raise UserError(f"{given['out']} is there already: remove it, or give another --out")
    for name, value in {**given, "file": file}.items():
        if name != "title" and (value == "" or (name == "stop" and "" in value)):
            raise UserError(f"--{name} is empty: give it a value, or leave it out")
    folder = open_folder(model, given["base"])
    tells = Tells(folder.policy)
    words = {name: given[name] for name in ("country", "host") if given[name]}
    told = parse_tell(given["tell"])
    if twice := sorted(set(words) & set(told)):
        raise UserError(f"--{twice[0]} and --tell {twice[0]}=...: give one of them")
    words |= told
    compares = given["compare"] is not None
    if compares and "country" in words:
        raise UserError("--compare tells countries of its own: leave the other country out")
    beside = tells(words, "--tell")
    named = compared(given["compare"], words, tells) if compares else [("", beside)]
    settings = generation_settings(given)
    tokenizer = load_tokenizer(folder)
    chat = is_for_chat(folder, tokenizer) if given["chat"] is None else given["chat"]
    talks = prompt is None and file is None and sys.stdin.isatty()
    if talks and (wrong := [name for name in _OF_PROMPTS if _is_given(given[name])]):
        raise UserError(
            f"--{wrong[0].replace('_', '-')} is for a prompt or a --file, and none is given: give "
            "one, or leave it out to talk"
        )
    if prompt is None and file is None and not talks:
        prompt = _piped()
    if prompt is not None and not prompt.strip() and not given["title"]:
        raise UserError("the prompt is empty: give a text, or --title for a document")
    prompts = []
    if file is not None:
        prompts = list(read_prompts(Path(file), tells, words))
        if not prompts:
            raise UserError(f"{file} has no prompts")
    elif prompt is not None:
        # A space at the end belongs to what is written.
        prompts = [Prompt((prompt.rstrip(" "),), beside, given["title"])]
    if not math.isfinite(given["guidance"]):
        raise UserError(f"--guidance {given['guidance']}: give a number, as 1.5")
    if given["guidance"] != 1 and not any(what for _, what in named) and not file:
        raise UserError("--guidance compares what is told with nothing told: give --country, too")

    from geo_nemo.generate.writer import Options, Writer
    from geo_nemo.runtime.device import resolve_device

    device = resolve_device(given["device"])
    options = Options(settings, given["stop"], given["guidance"], chat, given["seed"])
    dtype = {"fp32": "float32", "bf16": "bfloat16"}.get(given["dtype"], folder.dtype)
    if given["dtype"] == "auto" and device.type == "cpu":
        dtype = "float32"
    loaded = load_model(folder, dtype, device)
    writer = Writer(loaded, tokenizer, folder, options)
    for each in prompts:  # before anything is written
        try:
            writer.ids(each)
        except UserError as error:
            raise UserError(f"{each.place}: {error}" if each.place else str(error)) from None
    if not prompts:
        _talk(writer, tells, words)
        return
    begin = time.monotonic()
    tokens = _write_all(writer, prompts, named, compares, given)
    took = time.monotonic() - begin
    click.echo(f"{tokens:,} tokens in {took:.1f} s, {tokens / took:,.1f} tokens/s", err=True)


def _is_given(value: Any) -> bool:
    return value not in (None, "", 1)


def _piped() -> str:
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise UserError(f"the piped prompt is not in {error.encoding}: give it so") from None


def _write_all(
    writer: "Writer",
    prompts: "Sequence[Prompt]",
    named: Sequence[tuple[str, Mapping[str, str]]],
    compares: bool,
    given: Mapping[str, Any],
) -> int:
    """Write every prompt under everything that is told; the number of tokens."""
    from dataclasses import replace

    tokens, lines = 0, []
    for first in range(0, len(prompts), given["batch_size"]):
        batch = prompts[first : first + given["batch_size"]]
        for sample in range(given["samples"]):
            seed = given["seed"] + sample * 1_000_003 + first
            columns: dict[str, list[Written]] = {}
            for name, what in named:
                asked = [replace(each, told=what) for each in batch] if compares else batch
                columns[name] = writer.write(asked, seed, _streamer(writer, prompts, given))
                tokens += sum(each.tokens for each in columns[name])
                lines += [
                    _record(each, made, name, seed)
                    for each, made in zip(asked, columns[name], strict=True)
                ]
            if not given["out"]:
                _print(batch, columns, compares, _streams(prompts, given))
    if given["out"]:
        from geo_nemo.common.files import write_whole

        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_whole(Path(given["out"]), text.encode())
        click.echo(given["out"])
    return tokens


def _record(prompt: "Prompt", made: "Written", name: str, seed: int) -> dict[str, Any]:
    known = {key: prompt.record[key] for key in ("id", "answer", "kind") if key in prompt.record}
    return {
        **known,
        "prompt": prompt.turns[-1],
        "told": dict(prompt.told),
        **({"compared": name} if name else {}),
        "text": made.text,
        "tokens": made.tokens,
        "ended": made.ended,
        "seed": seed,
    }


def _streams(prompts: Sequence[Any], given: Mapping[str, Any]) -> bool:
    return (
        len(prompts) == 1
        and not given["compare"]
        and not given["out"]
        and not given["stop"]
        and (given["num_beams"] or 1) == 1
    )


def _streamer(writer: "Writer", prompts: Sequence[Any], given: Mapping[str, Any]) -> Any:
    if not _streams(prompts, given):
        return None
    from transformers import TextStreamer

    return TextStreamer(writer.tokenizer, skip_prompt=True, skip_special_tokens=True)


def _print(
    batch: "Sequence[Prompt]", columns: "Mapping[str, list[Written]]", compares: bool, shown: bool
) -> None:
    if shown:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for place, prompt in enumerate(batch):
        if not compares:
            click.echo(columns[""][place].text)
            continue
        console.print(Text(prompt.turns[-1], style="italic"), soft_wrap=True)
        table = Table(show_lines=True)
        for name in columns:
            table.add_column(Text(name), ratio=1, overflow="fold")
        table.add_row(*(Text(made[place].text) for made in columns.values()))
        console.print(table)


def _talk(writer: "Writer", tells: "Tells", words: Mapping[str, str]) -> None:
    """Line by line, as a conversation; a model that was not tuned goes on with each line."""
    from transformers import TextStreamer

    from geo_nemo.generate.prompts import Prompt, parse_tell

    turns, words, seed = [], dict(words), writer.options.seed
    for line in _lines():
        if line.startswith("/"):
            order, _, rest = line.partition(" ")
            turns = []
            if order in LEAVES:
                return
            try:
                if order == "/tell":
                    given = parse_tell(rest.split())
                    tells(given, "/tell")
                    words = given
                elif order != "/new":
                    click.echo(f"{order} is no order: there is /new, /tell NAME=VALUE and /quit")
            except UserError as error:
                click.echo(str(error))
            continue
        try:
            told = tells(words, "--tell")
            prompt = Prompt((*turns, line), told)
            streamer = TextStreamer(writer.tokenizer, skip_prompt=True, skip_special_tokens=True)
            made = writer.write([prompt], seed, streamer)[0]
        except UserError as error:
            click.echo(f"{error}; /new begins anew" if turns else str(error))
            continue
        seed += 1
        if writer.options.chat and made.text:
            turns += [line, made.text]


def _lines() -> Iterator[str]:
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            return
        if line:
            yield line
