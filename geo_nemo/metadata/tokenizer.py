"""Tokenizers behind one face: sentencepiece `.model`, Hugging Face `tokenizer.json`, `.tiktoken`.

Text never becomes a control token, whatever it says: `</s>` in an article is four ordinary
characters. Lone surrogates, which no tokenizer accepts, become U+FFFD.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from geo_nemo.config.errors import UserError

# Names under which vocabularies in use keep their control tokens, most specific first.
BOS_NAMES = ("<|begin_of_text|>", "<s>", "<bos>", "<|startoftext|>", "[BOS]", "[CLS]")
EOS_NAMES = ("<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>", "[EOS]", "[SEP]")
PAD_NAMES = ("<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]")


class Tokenizer(Protocol):
    """What the project asks of a tokenizer.

    pad_id equals eos_id where the vocabulary has no padding token; bos_id equals eos_id where it
    has one token that ends a document and starts the next.
    """

    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int
    sha256: str
    kind: str

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


class SentencePieceTokenizer:
    """A sentencepiece model; BOS and EOS must be control symbols of its vocabulary."""

    kind = "sentencepiece"

    def __init__(self, path: Path, content: bytes):
        from sentencepiece import SentencePieceProcessor

        if not content:
            raise UserError(f"{path} is empty: give a whole sentencepiece model")
        try:
            self._model = SentencePieceProcessor(model_proto=content)
        except RuntimeError:
            raise UserError(
                f"{path} is not a sentencepiece model, or is cut short; a tiktoken vocabulary "
                "must end in .tiktoken"
            ) from None
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.vocab_size = self._model.vocab_size()
        self.bos_id, self.eos_id = self._model.bos_id(), self._model.eos_id()
        if self.bos_id < 0 or self.eos_id < 0:
            raise UserError(
                f"{path} has no {'BOS' if self.bos_id < 0 else 'EOS'} symbol: train it with bos_id "
                "and eos_id set"
            )
        pad_id = self._model.pad_id()
        self.pad_id = pad_id if pad_id >= 0 else self.eos_id
        controls = [i for i in range(self.vocab_size) if self._model.IsControl(i)]
        controls += [self.bos_id, self.eos_id, self.pad_id]
        refuse_leaks(path, self, {i: self._model.id_to_piece(i) for i in controls})

    def encode(self, text: str) -> list[int]:
        return self._model.encode(scrub(text))

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return self._model.encode([scrub(text) for text in texts])

    def decode(self, ids: Sequence[int]) -> str:
        return self._model.decode([int(i) for i in ids])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._model.id_to_piece(int(i)).replace("\u2581", " ") for i in ids]


class HuggingFaceTokenizer:
    """A `tokenizer.json`; BOS, EOS and padding are found by name.

    Names come from the arguments, else from `tokenizer_config.json` beside the file, else from the
    names above. A vocabulary without BOS uses its EOS in both places, as GPT-2's does.
    """

    kind = "huggingface"

    def __init__(
        self,
        path: Path,
        content: bytes,
        bos: str | None = None,
        eos: str | None = None,
        pad: str | None = None,
    ):
        from tokenizers import Tokenizer as Backend

        try:
            self._backend = Backend.from_str(content.decode())
        except UnicodeDecodeError:
            raise UserError(f"{path} is not UTF-8: give a Hugging Face tokenizer.json") from None
        except Exception as error:  # the binding raises bare Exception
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{path} is not a Hugging Face tokenizer.json: {reason}") from None
        dropout = getattr(self._backend.model, "dropout", None)
        if dropout:
            raise UserError(
                f"{path} has model.dropout={dropout:g}: a text would have other ids each time; "
                "set it to null"
            )
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True
        self.sha256 = hashlib.sha256(content).hexdigest()
        added = self._backend.get_added_tokens_decoder()
        self.vocab_size = max((*self._backend.get_vocab().values(), *added), default=-1) + 1
        named = _names_beside(path)
        eos_id = self._find(path, "eos", eos, named, EOS_NAMES)
        bos_id = self._find(path, "bos", bos, named, BOS_NAMES)
        if eos_id is None and bos_id is None:
            raise UserError(f"{path} has no known BOS or EOS token: name them (bos=, eos=)")
        self.eos_id = eos_id if eos_id is not None else bos_id
        self.bos_id = bos_id if bos_id is not None else self.eos_id
        pad_id = self._find(path, "pad", pad, named, PAD_NAMES)
        self.pad_id = pad_id if pad_id is not None else self.eos_id
        controls = {i: token.content for i, token in added.items() if token.special}
        for i in (self.bos_id, self.eos_id, self.pad_id):
            controls[i] = self._backend.id_to_token(i)
        self._controls = controls
        refuse_leaks(path, self, controls)

    def encode(self, text: str) -> list[int]:
        return self._backend.encode(scrub(text), add_special_tokens=False).ids

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        scrubbed = [scrub(text) for text in texts]
        batch = self._backend.encode_batch_fast(scrubbed, add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def decode(self, ids: Sequence[int]) -> str:
        return self._backend.decode([int(i) for i in ids], skip_special_tokens=True)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._piece(int(i)) for i in ids]

    def _piece(self, token_id: int) -> str:
        if token_id in self._controls:
            return self._controls[token_id]
        text = self._backend.decode([token_id], skip_special_tokens=False)
        # A piece of a multi-byte character has no text of its own: show the vocabulary's form.
        return text if text and "\ufffd" not in text else self._backend.id_to_token(token_id) or ""

    def _find(
        self,
        path: Path,
        role: str,
        given: str | None,
        named: dict[str, str],
        known: Iterable[str],
    ) -> int | None:
        if given is not None:
            token_id = self._backend.token_to_id(given)
            if token_id is None:
                raise UserError(f"{path} has no token {given!r} for {role}")
            return token_id
        candidates = [named[role], *known] if role in named else list(known)
        found = (self._backend.token_to_id(name) for name in candidates)
        return next((token_id for token_id in found if token_id is not None), None)


def load_tokenizer(
    path: str | Path,
    *,
    bos: str | None = None,
    eos: str | None = None,
    pad: str | None = None,
) -> Tokenizer:
    """The tokenizer in `path`: `.model` is sentencepiece, `.json` Hugging Face, or `.tiktoken`.

    bos, eos, pad: names of control tokens of the latter two, where they are unusual.
    Raises UserError for a file that is missing, corrupt, of another kind, or that would turn
    ordinary text into a control token.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"tokenizer {path} is a folder: give the .model or tokenizer.json in it")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read tokenizer {path}: {error.strerror}") from None
    if path.suffix == ".model":
        return SentencePieceTokenizer(path, content)
    if path.suffix == ".json":
        return HuggingFaceTokenizer(path, content, bos, eos, pad)
    if path.suffix == ".tiktoken":
        from geo_nemo.metadata.tiktoken_tokenizer import TiktokenTokenizer

        return TiktokenTokenizer(path, content, bos, eos, pad)
    raise UserError(
        f"tokenizer {path} must end in .model (sentencepiece), .json (Hugging Face) or .tiktoken"
    )


def copy_tokenizer(path: str | Path, folder: Path) -> str:
    """Copy the tokenizer `path` into `folder` as `tokenizer` with its suffix; the new name."""
    path = Path(path)
    copy = folder / f"tokenizer{path.suffix}"
    shutil.copyfile(path, copy)
    if path.suffix == ".tiktoken":
        from geo_nemo.metadata.tiktoken_settings import copy_settings, read_settings, settings_path

        copy_settings(settings_path(copy), read_settings(path))
    return copy.name


def _names_beside(path: Path) -> dict[str, str]:
    """Control-token names that a `tokenizer_config.json` beside `path` gives, by role."""
    try:
        config = json.loads((path.parent / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    names: dict[str, str] = {}
    for role in ("bos", "eos", "pad"):
        value = config.get(f"{role}_token") if isinstance(config, dict) else None
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            names[role] = value
    return names


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
