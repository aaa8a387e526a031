"""`geo-nemo try`: a page that shows models and countries side by side, to this machine alone."""

from pathlib import Path
from typing import Any

import click

from geo_nemo.cli.options import quiet_libraries
from geo_nemo.cli.sampling import SEED
from geo_nemo.config import UserError

EPILOG = "Example: geo-nemo try runs/tuned runs/tuned-without --countries ng,gb"


@click.command(epilog=EPILOG)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--countries", metavar="LIST", help="To choose from. [those the models were told]")
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 7860 on]")
@click.option(
    "--chat/--document", default=None, help="Answer, or go on with a text. [by the model]"
)
@click.option(
    "--seed", default=0, type=SEED, show_default=True, help="Where the temperature is above 0."
)
@click.option("--base", metavar="FOLDER", help="The model that an adapter belongs to.")
@click.option("--device", default="auto", type=click.Choice(("auto", "cpu", "gpu")))
@click.option("--dtype", default="auto", type=click.Choice(("auto", "fp32", "bf16")))
def command(models: tuple[str, ...], **given: Any) -> None:
    """Serve a page on http://127.0.0.1 where MODELs answer a question, told several countries.

    MODEL is a Hugging Face folder or an adapter, as of generate. Only this machine can reach the
    page: over SSH, forward the port. Ctrl-C ends it. Needs the extra [try].
    """
    quiet_libraries()
    from geo_nemo.export.loaded import ADAPTER, load_model, load_tokenizer, open_folder
    from geo_nemo.generate.page import Comparison, build, launch, need_gradio
    from geo_nemo.generate.prompts import Tells, is_for_chat
    from geo_nemo.metadata.geography import country_code

    for name in ("countries", "base"):
        if given[name] == "":
            raise UserError(f"--{name} is empty: give it a value, or leave it out")
    names = _names(models)
    adapts = [(Path(model) / ADAPTER).is_file() for model in models]
    if given["base"] is not None and not any(adapts):
        raise UserError(f"--base {given['base']}: no model here is an adapter; leave --base out")
    folders = [
        open_folder(model, given["base"] if adapter else None)
        for model, adapter in zip(models, adapts, strict=True)
    ]
    if given["countries"]:
        words = [word.strip() for word in given["countries"].split(",") if word.strip()]
        countries = list(dict.fromkeys(_code(country_code(word), word) for word in words))
    else:
        countries = sorted({code for folder in folders for code in folder.countries})
    if not countries:
        raise UserError("no model says which countries it was told: give them as --countries ng,gb")
    need_gradio()
    tokenizers = [load_tokenizer(folder) for folder in folders]

    from geo_nemo.generate.writer import Options, Writer
    from geo_nemo.runtime.device import resolve_device

    device, found = resolve_device(given["device"], "--device "), {}
    for name, folder, tokenizer in zip(names, folders, tokenizers, strict=True):
        chat = is_for_chat(folder, tokenizer) if given["chat"] is None else given["chat"]
        options = Options({"do_sample": False}, chat=chat, seed=given["seed"])
        dtype = {"fp32": "float32", "bf16": "bfloat16"}.get(given["dtype"], folder.dtype)
        if given["dtype"] == "auto" and device.type == "cpu":
            dtype = "float32"
        writer = Writer(load_model(folder, dtype, device), tokenizer, folder, options)
        found[name] = writer, Tells(folder.policy)
    launch(build(Comparison(found, countries)), given["port"], _started)


def _started(address: str) -> None:
    click.echo(f"{address} (Ctrl-C ends it)")


def _code(code: str | None, word: str) -> str:
    if code is None:
        raise UserError(f"--countries {word}: no country; give codes, as --countries ng,gb")
    return code


def _names(models: tuple[str, ...]) -> list[str]:
    """The folders' own names where they differ, else as they were given."""
    names = [Path(model).resolve().name for model in models]
    if len(set(models)) < len(models):
        raise UserError("a model is named twice: name each once")
    return names if len(set(names)) == len(names) else list(models)
