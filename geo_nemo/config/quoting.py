"""Values of settings as they are typed: what Hydra, or a shell, would read otherwise is quoted."""

import re
import shlex

from geo_nemo.config.mistakes import WEB_ADDRESS

# What a shell reads within double quotation marks, too.
_OF_A_SHELL = re.compile(r'["$`!\\]')
# Beyond it, a message that repeats a value is hard to read.
_LONG = 100


def quote(value: object) -> str:
    """A path or text as the value of an override; what Hydra would read otherwise is quoted."""
    text = str(value)
    # A slash keeps numbers, true and null from being read as such.
    if re.fullmatch(r"[A-Za-z0-9_.-]*/[A-Za-z0-9_./-]*", text):
        return text
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def quoted(key: str, value: str) -> str:
    """What to type in place of `key=value`, which Hydra does not read."""
    if value.startswith(("[", "{")):
        return (
            "write a list as [a,b], keys and values as {key: value}, and a text with other signs "
            "in it as 'a, b'"
        )
    if re.match(r"~(/|$)", value):
        return f'the shell leaves ~ as it is there: write "{key}=$HOME{value[1:]}"'
    if WEB_ADDRESS.search(value) or len(value) > _LONG:
        return f"quote the value, as in \"{key}='...'\""
    within = re.fullmatch(r"""(['"])(.*)\1""", value, re.DOTALL)
    setting = f"{key}={quote(within[2] if within else value)}"
    shown = shlex.quote(setting) if _OF_A_SHELL.search(value) else f'"{setting}"'
    return f"quote the value, as in {shown}"
