"""Passwords in addresses: never in a message, a record or a config that is kept."""

import re
from typing import Any

MASK = "***"
# `user:password@` or `token@` in front of a host.
_USER = re.compile(r"([a-z][a-z0-9+.-]*://)([^\s@:/?#'\"]*:)?[^\s/?#'\"]*@", re.IGNORECASE)
# The same where the password has a `/`, `?` or `#` of its own, up to the last `@`. What stands in
# front of the first of these is no port then; of digits alone it may be one.
_ODD_PASSWORD = re.compile(
    r"([a-z][a-z0-9+.-]*://[^\s@:/?#'\"\[]*:)(?!\d+[,/?#])[^\s@/?#'\"]*[/?#]"
    r"(?:(?!://)[^\s'\"])*@",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"([?&](?:[\w-]*(?:password|passwd|pwd|token|secret|key|signature))=)[^&\s'\"]*", re.IGNORECASE
)


def masked(text: str) -> str:
    """`text` with `***` for the passwords and tokens of each address in it."""
    hidden = _ODD_PASSWORD.sub(rf"\g<1>{MASK}@", text)
    hidden = _USER.sub(lambda found: f"{found[1]}{found[2] or ''}{MASK}@", hidden)
    return _QUERY.sub(rf"\g<1>{MASK}", hidden)


def all_masked(value: Any) -> Any:
    """`masked` of every text in nested lists and dicts."""
    if isinstance(value, dict):
        return {key: all_masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [all_masked(item) for item in value]
    return masked(value) if isinstance(value, str) else value
