"""The tokenizer of each model: of its run's store, or what transformers makes of its folder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from eval.hub import base_of
from eval.model import Model
from geo_nemo.config import UserError
from geo_nemo.export.libraries import tokenizer_in
from geo_nemo.store.manifest import MANIFEST_NAME, read_manifest
from geo_nemo.store.tokenizer import open_tokenizer
from geo_nemo.tokenizers.base import Tokenizer, scrub
from geo_nemo.tokenizers.load import load_tokenizer

_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt",
          "spiece.model", "sentencepiece.bpe.model")  # fmt: skip
# What stands beside them and changes the ids, too.
_BESIDE = ("merges.txt", "added_tokens.json", "special_tokens_map.json")


def tokenizer_of(model: Model, store: str | None = None) -> Tokenizer:
    """store: where a run's is, when its own store has gone elsewhere. Raises `UserError`."""
    if model.kind == "run":
        return _of_run(model, Path(store or model.store))
    where = f"runs.{model.name}={model.folder}"
    for folder in dict.fromkeys((model.folder, base_of(where, model.folder))):
        if any((folder / name).is_file() for name in _FILES):
            return HubTokenizer(where, folder)
    raise UserError(
        f"{where} has no tokenizer: put its tokenizer.json and tokenizer_config.json into it"
    )


def _of_run(model: Model, place: Path) -> Tokenizer:
    where = f"runs.{model.name}={model.folder}"
    if place.is_file():
        found = load_tokenizer(place)
    elif (place / MANIFEST_NAME).is_file():
        found = open_tokenizer(place, read_manifest(place)[0].tokenizer)
    else:
        raise UserError(
            f"{where}: the store {place} that it was trained on is not there, and its tokenizer "
            "with it: give store=STORE with the same tokenizer"
        )
    if found.sha256 != model.tokenizer_sha256:
        raise UserError(
            f"{where} was trained with another tokenizer than that of {place}: give store=STORE "
            "with its own"
        )
    return found


class HubTokenizer:
    """A folder's tokenizer as transformers makes it; text never becomes a control token."""

    kind = "transformers"

    def __init__(self, where: str, folder: Path):
        try:
            found = tokenizer_in(folder)
        except ImportError:
            raise UserError(
                f"{where} needs transformers for its tokenizer: pip install 'geo-nemo[eval]'"
            ) from None
        except Exception as error:  # transformers raises errors of every class
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{where}: its tokenizer does not load: {reason}") from None
        self._model = found
        self.vocab_size = len(found)
        end = found.eos_token_id
        start = found.bos_token_id if found.bos_token_id is not None else end
        if start is None:
            raise UserError(
                f"{where}: its tokenizer names neither bos_token nor eos_token, so that no text "
                "can begin: name one in its tokenizer_config.json"
            )
        self.bos_id = start
        self.eos_id = end if end is not None else start
        self.pad_id = found.pad_token_id if found.pad_token_id is not None else self.eos_id
        self.sha256 = _hash(folder)

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return self._model(
            [scrub(text) for text in texts], add_special_tokens=False, split_special_tokens=True,
            return_attention_mask=False, verbose=False,
        )["input_ids"]  # fmt: skip

    def decode(self, ids: Sequence[int]) -> str:
        return self._model.decode(
            list(map(int, ids)), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return self._model.convert_ids_to_tokens(list(map(int, ids)))


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (*_FILES, *_BESIDE):
        if (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    return digest.hexdigest()
