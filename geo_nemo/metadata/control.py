"""Control tokens of the vocabulary in a template: `<|meta|>` as the token, and not as its letters.

Inside, a mark that is no character stands for each, so that what a document says of itself can
never be one. Between two of them a text is tokenised as one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geo_nemo.common.errors import UserError
from geo_nemo.config.template import Template

if TYPE_CHECKING:
    from geo_nemo.tokenizers.base import Tokenizer

# Unicode has these 32 for a program's own use; no text may hold them.
_FIRST, _LAST = "\ufdd0", "\ufdef"
_MARKS = re.compile(f"([{_FIRST}-{_LAST}])")


def starts_marked(text: str) -> bool:
    """Whether a control token opens the text."""
    return _MARKS.match(text) is not None


def ends_marked(text: str) -> bool:
    """Whether a control token ends the text."""
    return starts_marked(text[-1:])


def without_marks(value: str) -> str:
    """A value that holds no mark."""
    return _MARKS.sub("\ufffd", value)


class Controlled:
    """A tokenizer that takes marks for control tokens. template: with marks in their places."""

    def __init__(self, tokenizer: Tokenizer, template: Template):
        self._tokenizer = tokenizer
        names = {chr(ord(_FIRST) + n): name for n, name in enumerate(template.control)}
        ids = _ids_of(tokenizer, template.control)
        self._names = names
        self._ids = {mark: ids[name] for mark, name in names.items()}
        self.template = template.model_copy(
            update={
                part: self._marked(getattr(template, part))
                for part in ("line", "between", "after", "title", "body")
            }
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in _MARKS.split(text):
            if part in self._ids:
                ids.append(self._ids[part])
            elif part:
                ids += self._tokenizer.encode(part)
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return without_marks(self._tokenizer.decode(ids))

    def shown(self, text: str) -> str:
        """A text with the names of its control tokens."""
        return _MARKS.sub(lambda found: self._names[found[0]], text)

    def _marked(self, text: str) -> str:
        for mark, name in self._names.items():
            text = text.replace(name, mark)
        return text


def _ids_of(tokenizer: Tokenizer, names: Sequence[str]) -> dict[str, int]:
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    found = {
        piece: token
        for token, piece in enumerate(pieces)
        if piece in names and not tokenizer.decode([token])
    }
    for name in names:
        if name not in found:
            raise UserError(
                f"metadata.template.control: {name} is no control token of the store's tokenizer: "
                f"take one that it has, or leave it out of control, and it is text"
            )
    return found
