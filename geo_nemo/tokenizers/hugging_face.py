"""Hugging Face's tokenizer.json."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_json
from geo_nemo.tokenizers.base import FlatEncoder, OneFile, control_ids, refuse_leaks, scrub
from geo_nemo.tokenizers.by_fastokens import by_fastokens

_NAMES = "tokenizer_config.json"


class HuggingFaceTokenizer(OneFile):
    """A `tokenizer.json`; BOS, EOS and padding are found by name.

    Names come from the arguments, else from `tokenizer_config.json` beside the file, else from the
    names above. A vocabulary without BOS uses its EOS in both places, as GPT-2's does.
    """

    kind = "huggingface"
    library = "tokenizers"
    own_file = "tokenizer.json"

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
        given, named = {"bos": bos, "eos": eos, "pad": pad}, _names_beside(path)
        self.bos_id, self.eos_id, self.pad_id = control_ids(
            path, lambda role, known: self._find(path, role, given[role], named, known)
        )
        controls = {i: token.content for i, token in added.items() if token.special}
        for i in (self.bos_id, self.eos_id, self.pad_id):
            controls[i] = self._backend.id_to_token(i)
        self._controls = controls
        refuse_leaks(path, self, controls)

    @classmethod
    def settings_file(cls, path: Path, named: bool) -> Path | None:
        return None if named else path.with_name(_NAMES)

    def encode(self, text: str) -> list[int]:
        return self._backend.encode(scrub(text), add_special_tokens=False).ids

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        scrubbed = [scrub(text) for text in texts]
        batch = self._backend.encode_batch_fast(scrubbed, add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def encode_here(self, texts: list[str]) -> list[list[int]]:
        """Batches of this library can be kept to one core from outside, by its variable."""
        return self.encode_batch(texts)

    def flat_encoder(self, path: Path) -> FlatEncoder | str:
        return by_fastokens(lambda backend: backend.from_file(str(path)))

    def as_tokenizer_json(self, path: Path) -> Any:
        from tokenizers import Tokenizer as Backend

        backend = Backend.from_str(path.read_text("utf-8"))
        backend.no_truncation()
        backend.no_padding()
        return backend

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


def _names_beside(path: Path) -> dict[str, str]:
    """Control-token names that a `tokenizer_config.json` beside `path` gives, by role."""
    try:
        config = parse_json(path.with_name(_NAMES).read_bytes())
    except (OSError, ValueError):
        return {}
    names: dict[str, str] = {}
    for role in ("bos", "eos", "pad"):
        value = config.get(f"{role}_token") if isinstance(config, dict) else None
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            names[role] = value
    return names
