"""transformers and what is built on it: quiet, off the network, and with errors of one line."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geo_nemo.common.files import writing
from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError

_OF_TORCH = ("PytorchStreamWriter", "inline_container")  # what torch.save says of a full disk
# What transformers 4 and 5 call a tokenizer that is what its tokenizer.json says.
_PLAIN = ("PreTrainedTokenizerFast", "TokenizersBackend")
# What can be done about the template of a model that geo_nemo trained.
ANEW = "export the model anew, or put its own chat_template.jinja into its folder"


def render(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], mend: str = ANEW, **options: Any
) -> Any:
    """What a chat template makes of messages; options: of transformers' `apply_chat_template`.

    mend: what a user can do about a template that does not work. Raises `UserError` with what the
    template says, or where it is damaged.
    """
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(messages, **options)
    except Exception as error:  # a template may fail in every way that Python does
        if type(error) is TemplateError:
            raise UserError(str(error)) from None
        raise UserError(f"the chat template does not work: {line_of(error)}; {mend}") from None


def tokenizer_in(folder: Path) -> Any:
    """A folder's tokenizer as transformers makes it; raises what transformers does.

    One that says it is a plain tokenizer.json is read as such: AutoTokenizer of transformers 5
    takes each one in a folder of type qwen2 for Qwen's own, which cuts words at other places.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        told = parse_json((folder / "tokenizer_config.json").read_bytes())
        plain = told.get("tokenizer_class") in _PLAIN and "auto_map" not in told
    except (OSError, ValueError, AttributeError):
        plain = False  # transformers says what is wrong
    kind = PreTrainedTokenizerFast if plain else AutoTokenizer
    return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def special_tokens(tokenizer: Any) -> list[str]:
    """Every control token that a text may spell: those with a role, and all others it was given."""
    added = tokenizer.added_tokens_decoder.values()
    found = [*tokenizer.all_special_tokens, *(each.content for each in added if each.special)]
    return list(dict.fromkeys(found))


@contextlib.contextmanager
def writing_weights(path: Path) -> Iterator[None]:
    """Turn what the libraries raise where a disk is full, and OSError, into a `UserError`."""
    from safetensors import SafetensorError

    try:
        with writing(path):
            yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, SafetensorError) or any(name in str(error) for name in _OF_TORCH):
            raise UserError(
                f"cannot write {path}: {line_of(error)}; mend that and run it again"
            ) from None
        raise


def offline() -> None:
    """Keep the libraries from asking the hub for what a folder lacks, and from bars of theirs."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", module=r"(transformers|trl|peft|accelerate)(\..*)?$")
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def line_of(error: Exception) -> str:
    """An error of a library in one line."""
    line = " ".join(str(error).split())
    if "trust_remote_code" in line:
        return "it is code that the folder brings, which is not run here"
    if isinstance(error, KeyError):
        return f"{line} is missing, or is nothing that it knows"
    return line[:300] or type(error).__name__
