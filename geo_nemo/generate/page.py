"""A page for this machine alone: models and countries side by side, by gradio.

Answers come one after another, so that the first stands while others are written. Nothing is asked
of the network: no analytics, no fonts, no share link; see `launch`.
"""

import html
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from geo_nemo.config import UserError
from geo_nemo.generate.prompts import NONE, Prompt, Tells
from geo_nemo.generate.writer import Writer

HOST = "127.0.0.1"
# Countries that are chosen at first, as far as a model was told them.
FIRST = 2
LONGEST = 512
EMPTY = "<p>Ask something.</p>"
CSS = """
.answers table {width: 100%; border-collapse: collapse; table-layout: fixed}
.answers th, .answers td {border: 1px solid var(--border-color-primary); padding: .5rem .7rem;
  text-align: left; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere}
.answers .waits {opacity: .5}
"""


class Comparison:
    """Loaded models by name, each with what it can be told."""

    def __init__(self, models: Mapping[str, tuple[Writer, Tells]], countries: Sequence[str]):
        self.models = models
        self.countries = (*countries, NONE)

    def write(
        self, text: str, countries: Sequence[str], host: str, tokens: int, temperature: float
    ) -> Iterator[dict[str, dict[str, str]]]:
        """Answers by model and country, once more after each.

        A model that cannot be told something says so in its place. Raises `UserError` for an empty
        text and where no country is chosen.
        """
        if not text.strip():
            raise UserError("the question is empty: write one")
        if not countries:
            raise UserError(f"choose a country, or {NONE}")
        found: dict[str, dict[str, str]] = {name: {} for name in self.models}
        yield found
        for name, (writer, tells) in self.models.items():
            settings = {**writer.options.settings, "max_new_tokens": int(tokens)}
            settings.pop("temperature", None)  # of the question before
            settings |= {"do_sample": temperature > 0}
            if temperature > 0:
                settings["temperature"] = temperature
            writer.use(replace(writer.options, settings=settings))
            for country in countries:
                found[name][country] = _answer(writer, tells, text, country, host)
                yield found


def _answer(writer: Writer, tells: Tells, text: str, country: str, host: str) -> str:
    given = {} if country == NONE else {"country": country, "host": host.strip()}
    try:
        told = tells(given, country)
        return writer.write([Prompt((text.rstrip(" "),), told)], writer.options.seed)[0].text
    except UserError as error:
        return f"({error})"


def as_table(found: Mapping[str, Mapping[str, str]], countries: Sequence[str]) -> str:
    """HTML: a row for each model, a column for each country."""

    def cells(kind: str, texts: Sequence[str | None]) -> str:
        waits = f'<{kind} class="waits">...</{kind}>'
        return "".join(
            waits if text is None else f"<{kind}>{html.escape(text)}</{kind}>" for text in texts
        )

    rows = [
        f"<tr><th>{html.escape(name)}</th>{cells('td', [told.get(c) for c in countries])}</tr>"
        for name, told in found.items()
    ]
    return f"<table><tr><th></th>{cells('th', countries)}</tr>{''.join(rows)}</table>"


def build(comparison: Comparison) -> Any:
    """The page, as gradio's Blocks, not started yet."""
    gradio = need_gradio()

    def write(*given: Any) -> Iterator[str]:
        try:
            for found in comparison.write(*given):
                yield as_table(found, given[1])
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    with gradio.Blocks(title="geo-nemo try", analytics_enabled=False) as page:
        gradio.Markdown("## One question, told where it is asked")
        question = gradio.Textbox(label="Question", lines=2, autofocus=True)
        countries = gradio.Dropdown(
            list(comparison.countries),
            value=[*comparison.countries[:-1][:FIRST], NONE],
            multiselect=True,
            label="Told to be asked in",
        )
        with gradio.Row():
            host = gradio.Textbox(label="Host", placeholder="none")
            tokens = gradio.Slider(1, LONGEST, value=48, step=1, label="Tokens at most")
            temperature = gradio.Slider(0, 2, value=0, step=0.1, label="Temperature (0: the best)")
        ask = gradio.Button("Ask", variant="primary")
        answers = gradio.HTML(EMPTY, label="Answers", elem_classes="answers")
        given = [question, countries, host, tokens, temperature]
        gradio.on([ask.click, question.submit], write, given, answers, show_progress="hidden")
    return page


def launch(page: Any, port: int | None, started: Callable[[str], None]) -> None:
    """Serve the page to this machine until it is interrupted. started: told its address.

    port: None takes the first free one from 7860 on. Raises `UserError` where it is taken.
    """
    gradio = need_gradio()
    system = ["system-ui", "sans-serif"]
    try:
        _, address, _ = page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            theme=gradio.themes.Default(font=system, font_mono=["monospace"]),
            css=CSS,
            footer_links=[],
            ssr_mode=False,
            mcp_server=False,
            run_history=False,
            max_file_size=0,
        )
    except OSError as error:
        taken = f"--port {port} is taken" if port else "no port from 7860 on is free"
        raise UserError(f"{taken} ({' '.join(str(error).split())}): give another --port") from None
    started(address)
    page.block_thread()


def need_gradio() -> Any:
    """The library; `UserError` that names the extra where it is not here."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio
    except ImportError as error:
        raise UserError(
            f"geo-nemo try needs gradio, which does not import here ({error}): pip install "
            "'geo-nemo[try]'"
        ) from None
    return gradio
