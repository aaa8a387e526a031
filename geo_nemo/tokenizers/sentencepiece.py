"""Sentencepiece models."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import FlatEncoder, OneFile, refuse_leaks, scrub
from geo_nemo.tokenizers.by_word import WordEncoder, why_not_by_words


class SentencePieceTokenizer(OneFile):
    """A sentencepiece model; BOS and EOS must be control symbols of its vocabulary."""

    kind = "sentencepiece"
    library = "sentencepiece"
    own_file = "tokenizer.model"

    def __init__(self, path: Path, content: bytes, *names: str | None):
        """names: of control tokens; the model itself says which these are."""
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

    def flat_encoder(self, path: Path) -> FlatEncoder | str:
        return why_not_by_words(path) or WordEncoder(path, self.vocab_size)

    def as_tokenizer_json(self, path: Path) -> Any:
        from geo_nemo.tokenizers.sentencepiece_json import sentencepiece_json

        return sentencepiece_json(path.read_bytes())

    def decode(self, ids: Sequence[int]) -> str:
        return self._model.decode([int(i) for i in ids])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._model.id_to_piece(int(i)).replace("\u2581", " ") for i in ids]
