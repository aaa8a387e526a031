"""Composed documents whose token ids are those of the whole text, tokenised at once.

Parts that are tokenised apart may miss a merge at their seam, and which seams do depends on the
vocabulary. Llama-3's joins a last full stop to the line ends that follow it ("." + "\\n\\n"), so
an appended block, or a URL that ends in a slash, is not what the whole text gives. So:

1. Metadata lines, their separator and the label that follows are tokenised as one text.
2. Where the vocabulary needs it, the end of the title is tokenised again with the label behind it,
   and the end of the body with the appended block, from the start of the last word on: no
   vocabulary in use joins the space that starts a word to what stands before it.

`check` compares a document with its whole text: run it on a sample.
"""

from functools import lru_cache

import numpy as np

from geo_nemo.config.schema import MetadataPolicy
from geo_nemo.metadata.compose import (
    CACHED_VALUES,
    CONTENT_LABEL,
    SEPARATOR,
    TITLE_LABEL,
    Composer,
)
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.metadata.tokenizer import Tokenizer

# One ending of each kind of character that vocabularies treat apart.
_ENDINGS = ("word", "Word", "7", ".", "!", ")", "\u201d", "...", "\u2026", "\u00e9", "\u4f60", " ",
            "\u00a0", "\t", "\n", ".\n", "-", "/", "'s", "\U0001f600", "x;", "</s>")  # fmt: skip


class WholeText:
    """Composes documents under one policy as if their text were tokenised at once."""

    def __init__(self, policy: MetadataPolicy, tokenizer: Tokenizer):
        self.policy = policy
        self.tokenizer = tokenizer
        self._composer = Composer(policy, tokenizer)
        self._head = lru_cache(CACHED_VALUES)(self._encode)
        self._starts_word = lru_cache(CACHED_VALUES)(self._is_word_start)
        self._content = self._encode(CONTENT_LABEL)
        self._bos = np.array([tokenizer.bos_id], np.int32)
        self._eos = np.array([tokenizer.eos_id], np.int32)
        self._append = policy.position == "append"
        self._title_needs_care = any(
            not np.array_equal(
                self._encode(f" a{ending}{SEPARATOR}{CONTENT_LABEL}"),
                np.concatenate([self._encode(f" a{ending}{SEPARATOR}"), self._content]),
            )
            for ending in _ENDINGS
        )

    def parts(
        self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray
    ) -> list[np.ndarray]:
        """The document from BOS to EOS as pieces to be joined; arguments as `Composer.compose`."""
        if self._composer.exact:
            return [self._composer.compose(record, title_ids, body_ids).ids]
        block = self._block_text(record)
        before = "" if self._append else block
        if len(title_ids):
            parts = [self._bos, self._head(before + TITLE_LABEL)]
            if self._title_needs_care:
                parts += self._joined(title_ids, CONTENT_LABEL)
            else:
                parts += [title_ids, self._content]
        else:
            parts = [self._bos, self._head(before + CONTENT_LABEL)]
        parts += self._joined(body_ids, block) if self._append and block else [body_ids]
        parts.append(self._eos)
        return parts

    def ids(
        self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray
    ) -> np.ndarray:
        """The same as one array, int32 [n]."""
        parts = [p for p in self.parts(record, title_ids, body_ids) if len(p)]
        return np.concatenate(parts, dtype=np.int32, casting="same_kind")

    def text(self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray) -> str:
        """The whole text of a document, without BOS and EOS."""
        if self._composer.exact:
            return self._composer.whole_text(record, *map(self._decoded, (title_ids, body_ids)))
        block = self._block_text(record)
        title = TITLE_LABEL + self.tokenizer.decode(title_ids) if len(title_ids) else ""
        text = title + CONTENT_LABEL + self.tokenizer.decode(body_ids)
        return text + block if self._append else block + text

    def check(self, record: MetadataRecord, title_ids: np.ndarray, body_ids: np.ndarray) -> bool:
        """Whether `ids` are those that the tokenizer gives for the whole text at once."""
        text = self._encode(self.text(record, title_ids, body_ids))
        whole = np.concatenate([self._bos, text, self._eos])
        return np.array_equal(self.ids(record, title_ids, body_ids), whole)

    def _decoded(self, ids: np.ndarray) -> str:
        return self.tokenizer.decode(ids).removeprefix(" ")

    def _block_text(self, record: MetadataRecord) -> str:
        lines = "".join(self._composer.block_texts(record))
        if not lines:
            return ""
        return SEPARATOR + lines if self._append else lines + SEPARATOR

    def _joined(self, ids: np.ndarray, text: str) -> list[np.ndarray]:
        """`ids` followed by `text`, as one text: from the last word of `ids` on, anew."""
        start = len(ids) - 1
        while start > 0 and not self._starts_word(int(ids[start])):
            start -= 1
        start = max(start, 0)
        return [ids[:start], self._encode(self.tokenizer.decode(ids[start:]) + text)]

    def _is_word_start(self, token_id: int) -> bool:
        piece = self.tokenizer.pieces([token_id])[0]
        return len(piece) > 1 and piece[0] == " " and piece[1].isalpha()

    def _encode(self, text: str) -> np.ndarray:
        return np.array(self.tokenizer.encode(text), np.int32)
