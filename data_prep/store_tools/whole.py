"""Composed documents whose token ids are those of the whole text, whatever a policy says of it.

`check` compares a document with its whole text: run it on a sample.
"""

import numpy as np

from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.tokenizers.base import Tokenizer


class WholeText:
    """Composes documents under one policy as if their text were tokenised at once."""

    def __init__(self, policy: MetadataPolicy, tokenizer: Tokenizer):
        self.policy = policy
        self.tokenizer = tokenizer
        self._composer = Composer(policy.model_copy(update={"cut": "whole"}), tokenizer)
        self._bos = np.array([tokenizer.bos_id], np.int32)
        self._eos = np.array([tokenizer.eos_id], np.int32)

    def parts(
        self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray
    ) -> list[np.ndarray]:
        """The document from BOS to EOS as pieces to be joined; arguments as `Composer.compose`."""
        return [self._bos, *self._composer.compose(record, title_ids, body_ids).parts]

    def ids(
        self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray
    ) -> np.ndarray:
        """The same as one array, int32 [n]."""
        parts = [p for p in self.parts(record, title_ids, body_ids) if len(p)]
        return np.concatenate(parts, dtype=np.int32, casting="same_kind")

    def text(self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray) -> str:
        """The whole text of a document, without BOS and EOS."""
        title, body = map(self._decoded, (title_ids, body_ids))
        return self._composer.whole_text(record, title, body)

    def check(self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray) -> bool:
        """Whether `ids` are those that the tokenizer gives for the whole text at once."""
        text = self.tokenizer.encode(self.text(record, title_ids, body_ids))
        whole = np.concatenate([self._bos, np.array(text, np.int32), self._eos])
        return np.array_equal(self.ids(record, title_ids, body_ids), whole)

    def _decoded(self, ids: np.ndarray) -> str:
        return self.tokenizer.decode(ids).removeprefix(" ")
