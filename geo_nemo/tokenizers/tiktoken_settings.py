"""How a `.tiktoken` vocabulary splits text, and its control tokens: neither is in the file itself.

They are given in a JSON file beside it, `cl100k_base.tiktoken.json` for `cl100k_base.tiktoken`:

    {"name": "llama3"}
    {"pattern": "\\\\p{L}+|\\\\s+|.", "special_tokens": {"<|endoftext|>": 50256}}

A file that bears the name of a published vocabulary, as `cl100k_base.tiktoken` does, needs none.
"""

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_json
from geo_nemo.config.section import NonNegative, Section

# Published by the vocabularies' makers: github.com/openai/tiktoken (tiktoken_ext/openai_public.py),
# github.com/meta-llama/llama-models (models/llama3/tokenizer.py).
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*"
    rf"[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_SUFFIX}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+"
    rf"[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_FIM = {"<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}
_LLAMA3 = {
    "<|begin_of_text|>": 128000,
    "<|end_of_text|>": 128001,
    "<|reserved_special_token_0|>": 128002,
    "<|reserved_special_token_1|>": 128003,
    "<|finetune_right_pad_id|>": 128004,
    "<|reserved_special_token_2|>": 128005,
    "<|start_header_id|>": 128006,
    "<|end_header_id|>": 128007,
    "<|eom_id|>": 128008,
    "<|eot_id|>": 128009,
    "<|python_tag|>": 128010,
    **{f"<|reserved_special_token_{n}|>": 128008 + n for n in range(3, 248)},
}


class TiktokenSettings(Section):
    """What a `.tiktoken` file does not say.

    pattern: regular expression that cuts a text into pieces before they are encoded.
    special_tokens: id of each control token.
    bos, eos, pad: which of them these are, where their names do not tell.
    """

    pattern: str = Field(min_length=1)
    special_tokens: dict[str, NonNegative]
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None

    @model_validator(mode="after")
    def _known_roles(self):
        for role in ("bos", "eos", "pad"):
            name = getattr(self, role)
            if name is not None and name not in self.special_tokens:
                raise ValueError(f"{role} {name!r} is not among special_tokens")
        if len(set(self.special_tokens.values())) < len(self.special_tokens):
            raise ValueError("two special_tokens have one id")
        return self


KNOWN: dict[str, TiktokenSettings] = {
    name: TiktokenSettings(pattern=pattern, special_tokens=special)
    for name, pattern, special in (
        ("gpt2", _GPT2, {"<|endoftext|>": 50256}),
        ("r50k_base", _GPT2, {"<|endoftext|>": 50256}),
        ("p50k_base", _GPT2, {"<|endoftext|>": 50256}),
        ("cl100k_base", _CL100K, {"<|endoftext|>": 100257, **_FIM, "<|endofprompt|>": 100276}),
        ("o200k_base", _O200K, {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
        ("llama3", _CL100K, _LLAMA3),
    )
}


def settings_path(vocabulary: Path) -> Path:
    """Where the settings of a vocabulary stand."""
    return vocabulary.with_name(vocabulary.name + ".json")


def read_settings(vocabulary: Path) -> TiktokenSettings:
    """The settings beside `vocabulary`, else those of its name. UserError where there are none."""
    path = settings_path(vocabulary)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if vocabulary.stem in KNOWN:
            return KNOWN[vocabulary.stem]
        raise UserError(
            f"{vocabulary} does not say how it splits text: put {path.name} beside it, with "
            f'{{"name": NAME}} (of {", ".join(KNOWN)}) or {{"pattern": ..., "special_tokens": ...}}'
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    try:
        given = parse_json(content)
    except ValueError:
        raise UserError(f"{path} is not JSON") from None
    if isinstance(given, dict) and set(given) == {"name"}:
        name = given["name"]
        if not isinstance(name, str) or name not in KNOWN:
            raise UserError(f"{path}: {name!r} is none of {', '.join(KNOWN)}")
        return KNOWN[name]
    try:
        return TiktokenSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']}") from None


def copy_settings(path: Path, settings: TiktokenSettings) -> None:
    """Write settings in full, so that a copy of a vocabulary does not depend on its name."""
    path.write_text(settings.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
