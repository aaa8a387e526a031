"""What the project asks of a tokenizer, and what all kinds share.

Text never becomes a control token, whatever it says: `</s>` in an article is four ordinary
characters. Lone surrogates, which no tokenizer accepts, become U+FFFD.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from geo_nemo.common.errors import UserError

if TYPE_CHECKING:
    import numpy as np

# Names under which vocabularies in use keep their control tokens, most specific first.
BOS_NAMES = ("<|begin_of_text|>", "<s>", "<bos>", "<|startoftext|>", "[BOS]", "[CLS]")
EOS_NAMES = ("<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>", "[EOS]", "[SEP]")
PAD_NAMES = ("<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]")


class FlatEncoder(Protocol):
    """Has a tokenizer's ids sooner. name: says what does it."""

    name: str

    def encode(self, texts: list[str]) -> "tuple[np.ndarray, np.ndarray]":
        """Ids of n texts one after another, and their lengths, int64 [n].

        Where its library refuses a text it raises, and the tokenizer itself is asked.
        """
        ...


class Tokenizer(Protocol):
    """What the project asks of a tokenizer.

    pad_id equals eos_id where the vocabulary has no padding token; bos_id equals eos_id where it
    has one token that ends a document and starts the next. library: what encodes, for people.
    own_file: the name by which transformers knows a file of this kind; empty: it knows none.
    A class of them is called with the file's path and content, and the names of BOS, EOS and
    padding, None where none is given.
    """

    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int
    sha256: str
    kind: str
    library: str
    own_file: str

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, never a control token."""
        ...

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without control tokens."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """One readable piece per id, control tokens by their name."""
        ...

    def encode_here(self, texts: list[str]) -> list[list[int]]:
        """`encode` of each text, on this core alone."""
        ...

    def flat_encoder(self, path: Path) -> FlatEncoder | str:
        """What has the same ids sooner, of the tokenizer in `path`; or why nothing has."""
        ...

    def as_tokenizer_json(self, path: Path) -> Any:
        """The tokenizer in `path` as one of Hugging Face's `tokenizers`; None: it cannot be."""
        ...


class OneFile:
    """Of our own tokenizers: one whose file says everything. Kinds with another file override."""

    own_file = ""

    @classmethod
    def settings_file(cls, path: Path, named: bool) -> Path | None:
        """The file beside `path` that says more. named: control tokens are known by name."""
        return None

    @classmethod
    def copy_settings(cls, path: Path, copy: Path) -> None:
        """Write beside `copy` what stands beside `path` and is not in it."""

    def encode_here(self, texts: list[str]) -> list[list[int]]:
        """`encode` of each text, on this core alone."""
        return [self.encode(text) for text in texts]  # type: ignore[attr-defined]


def control_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids that a file alone may not tell, for the record of a run."""
    return {role: getattr(tokenizer, f"{role}_id") for role in ("bos", "eos", "pad")}


def scrub(text: str) -> str:
    """`text` with each lone surrogate replaced by U+FFFD; surrogate pairs are joined."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def control_ids(
    path: Path, find: Callable[[str, Sequence[str]], int | None]
) -> tuple[int, int, int]:
    """The ids of BOS, EOS and padding of a vocabulary that tells them by name.

    find: the id of a role's token (`bos`, `eos`, `pad`), of these names or others; None: it has
    none. BOS and EOS stand for each other where one is missing, and EOS for padding.
    """
    eos_id, bos_id = find("eos", EOS_NAMES), find("bos", BOS_NAMES)
    if eos_id is None:
        eos_id = bos_id
    if eos_id is None:
        raise UserError(
            f"{path} has no known BOS or EOS token: name them, as by tokenizer.bos=NAME "
            "tokenizer.eos=NAME of geo-nemo prep"
        )
    pad_id = find("pad", PAD_NAMES)
    return (
        bos_id if bos_id is not None else eos_id,
        eos_id,
        pad_id if pad_id is not None else eos_id,
    )


def refuse_leaks(path: Path, tokenizer: Tokenizer, controls: dict[int, str]) -> None:
    """Raise where a control token's own name, met in a text, becomes that token."""
    texts = [form for name in controls.values() for form in (name, f"a{name}b", f"x {name} y")]
    produced = {i for ids in tokenizer.encode_batch(texts) for i in ids}
    leaked = sorted(produced & set(controls))
    if leaked:
        raise UserError(
            f"{path} turns the text {controls[leaked[0]]!r} into control token {leaked[0]}: mark "
            "it as special (Hugging Face) or as a control symbol (sentencepiece)"
        )
