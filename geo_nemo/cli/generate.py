"""`geo-nemo generate`: have a model write, told a country, another, or nothing."""

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geo_nemo.cli.options import DiskFile, quiet_libraries
from geo_nemo.cli.sampling import SEED, generation_settings, sampling_options
from geo_nemo.common.counts import plural
from geo_nemo.common.log import logger
from geo_nemo.config import UserError

if TYPE_CHECKING:
    from geo_nemo.common.progress import Progress
    from geo_nemo.generate.output import Call, Output
    from geo_nemo.generate.prompts import Prompt, Tells
    from geo_nemo.generate.writer import Writer, Written

LOG = logger(__name__)
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
    something else, /quit ends. A pipe is one prompt. Stopped, the same command with --out goes on
    behind the texts that are written.
    """
    quiet_libraries()
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.common.progress import no_progress
    from geo_nemo.export.loaded import load_model, load_tokenizer, open_folder
    from geo_nemo.generate.output import calls, identity, output
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
    if file is not None and given["title"]:
        raise UserError("--title is of a prompt: records of --file have a title each, or none")
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
    beside = tells(words, " ".join(_tell_words(given)))
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

    device = resolve_device(given["device"], "--device ")
    options = Options(settings, given["stop"], given["guidance"], chat, given["seed"])
    dtype = {"fp32": "float32", "bf16": "bfloat16"}.get(given["dtype"], folder.dtype)
    if given["dtype"] == "auto" and device.type == "cpu":
        dtype = "float32"
    asked = partial(calls, prompts, named, batch_size=given["batch_size"], seed=given["seed"])
    made = list(asked(given["samples"]))
    with ExitStack() as stack:
        out, progress = None, no_progress
        if given["out"]:
            others = {name: given[name] for name in ("samples", "batch_size", "compare")}
            settings = {**asdict(options), **others, "dtype": dtype, "device": device.type}
            depends = identity(folder, prompts, named, settings)
            out = stack.enter_context(output(Path(given["out"]), depends, made))
        writer = Writer(load_model(folder, dtype, device), tokenizer, folder, options)
        if not prompts:
            _talk(writer, tells, words)
            return
        for each in (each for call in asked(1) for each in call.prompts):  # before it writes
            try:
                writer.ids(each)
            except UserError as error:
                raise UserError(f"{each.place}: {error}" if each.place else str(error)) from None
        if out and len(made) > 1:
            progress = stack.enter_context(progress_bar())
        streams = _streams(prompts, given)
        begin = time.monotonic()
        tokens = _write_all(writer, made, len(named), out, progress, streams)
        took = time.monotonic() - begin
    if out:
        click.echo(given["out"])
    written = plural(tokens, "token")
    click.echo(f"{written} in {took:.1f} s, {tokens / took:,.1f} tokens/s", err=True)


def _tell_words(given: Mapping[str, Any]) -> Iterator[str]:
    """What is told, as it was typed."""
    for name in ("country", "host"):
        if given[name]:
            yield f"--{name} {given[name]}"
    yield from (f"--tell {word}" for word in given["tell"])


def _is_given(value: Any) -> bool:
    return value not in (None, "", 1)


def _piped() -> str:
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise UserError(f"the piped prompt is not in {error.encoding}: give it so") from None


def _write_all(
    writer: "Writer",
    made: "Sequence[Call]",
    compared: int,
    out: "Output | None",
    progress: "Progress",
    streams: bool,
) -> int:
    """Write what is not written yet; the number of its tokens. compared: calls side by side."""
    sizes = [len(call.prompts) for call in made]
    first = out.done if out else 0
    done, tokens, columns = sum(sizes[:first]), 0, {}
    if done:
        LOG.info(f"goes on behind {done:,} of {sum(sizes):,} texts, which are written")
    for call in made[first:]:
        progress("texts", done, sum(sizes))
        written = writer.write(call.prompts, call.seed, _streamer(writer) if streams else None)
        tokens += sum(each.tokens for each in written)
        done += len(call.prompts)
        if out:
            out.add(call.records(written))
            continue
        columns[call.compared] = written
        if len(columns) == compared:
            if not streams:
                _print(call.prompts, columns)
            columns = {}
    progress("texts", done, sum(sizes))
    return tokens


def _streams(prompts: Sequence[Any], given: Mapping[str, Any]) -> bool:
    return (
        len(prompts) == 1
        and not given["compare"]
        and not given["out"]
        and not given["stop"]
        and (given["num_beams"] or 1) == 1
    )


def _streamer(writer: "Writer") -> Any:
    from transformers import TextStreamer

    return TextStreamer(writer.tokenizer, skip_prompt=True, skip_special_tokens=True)


def _print(batch: "Sequence[Prompt]", columns: "Mapping[str, list[Written]]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for place, prompt in enumerate(batch):
        if "" in columns:
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
    from geo_nemo.generate.prompts import Prompt, parse_tell

    turns, words, seed = [], dict(words), writer.options.seed
    for line in _lines():
        if line.startswith("/"):
            order, _, rest = line.partition(" ")
            if order in LEAVES:
                return
            try:
                if order == "/tell":
                    given = parse_tell(rest.split(), "/tell")
                    tells(given, line)
                    turns, words = [], given
                elif order == "/new":
                    turns = []
                else:
                    click.echo(f"{order} is no order: there is /new, /tell NAME=VALUE and /quit")
            except UserError as error:
                click.echo(str(error))
            continue
        try:
            told = tells(words, "what is told")
            prompt = Prompt((*turns, line), told)
            made = writer.write([prompt], seed, _streamer(writer))[0]
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
