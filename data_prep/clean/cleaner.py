"""Cleaning of one document, in this order: NOW's gaps, rules as listed, personal data, length."""

import xxhash

from data_prep.clean.filter import Drop
from data_prep.clean.masks import MASKS, NOW_MASK, count_masks, longest_piece
from data_prep.clean.rules import chosen_filters
from data_prep.clean.statistics import TextStatistics
from data_prep.config import Clean
from data_prep.document import Document
from data_prep.quarantine import Rejected
from data_prep.titles import without_title


class Cleaner:
    """Applies one config. UserError for a filter or a rule that does not exist."""

    def __init__(self, clean: Clean):
        self._now_masks = clean.now_masks
        self._cuts_title = clean.repeated_title == "cut"
        self._filters = chosen_filters(clean).items()
        self._masked = tuple(dict.fromkeys(clean.pii))
        self._masks = [mask for kind, mask in MASKS.items() if kind in self._masked]
        self._shortest, self._longest = clean.min_characters, clean.max_characters

    def clean(self, document: Document) -> Document:
        """`document` itself, with its text as cleaned. Raises Rejected.

        Where the text changes, so do its hash and an id that was its hash. Personal data are masked
        in the title too. Quality and language stay those of the text as it came.
        """
        text = self._without_gaps(document.text)
        if self._cuts_title:
            text = without_title(text, document.title)
        text = self._filtered(text, document)
        for mask in self._masks:
            text = mask(text)
            document.title = mask(document.title)
        if len(text) < self._shortest:
            raise Rejected("too_short", f"{len(text)} characters, under {self._shortest}")
        if len(text) > self._longest:
            raise Rejected("too_long", f"{len(text)} characters, over {self._longest}")
        if text != document.text:
            had_no_id = document.id == document.hash.hex()
            document.text = text
            document.hash = xxhash.xxh3_128_digest(text.encode())
            if had_no_id:
                document.id = document.hash.hex()
        count_masks(document, self._masked)
        return document

    def _without_gaps(self, text: str) -> str:
        if self._now_masks == "keep" or "@" not in text or not NOW_MASK.search(text):
            return text
        if self._now_masks == "drop":
            raise Rejected("now_mask", f"{len(NOW_MASK.findall(text))} gaps")
        text = longest_piece(text)
        if not text:
            raise Rejected("empty_text", "nothing but gaps")
        return text

    def _filtered(self, text: str, document: Document) -> str:
        if not self._filters:
            return text
        statistics = TextStatistics(text)
        for name, filter_ in self._filters:
            verdict = filter_(statistics, document)
            if isinstance(verdict, Drop):
                raise Rejected(f"{name}.{verdict.rule}", verdict.detail)
            if verdict is not None and verdict != statistics.text:
                statistics = TextStatistics(verdict)
        return statistics.text
