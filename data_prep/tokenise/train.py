"""Trains a sentencepiece BPE for this project's documents.

Lines are learned apart. Bytes stand in for unknown characters, nothing is normalised, and the
labels of a document are pieces of their own, so that they cost one token each.
"""

import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import load_tokenizer

LABELS = ("\n", "URL:", "COUNTRY:", "CONTINENT:", "TITLE:", "CONTENT:")
# Longer lines are cut: sentencepiece drops those over max_sentence_length.
MAX_LINE_CHARACTERS = 1 << 16
_TOO_MANY = 100_000_000


class TooFewTexts(UserError):
    """The texts do not give the vocabulary asked for; `most` pieces is what they give."""

    def __init__(self, vocab_size: int, most: int):
        super().__init__(
            f"tokenizer.vocab_size={vocab_size} is more than the train texts give: set it to "
            f"{most} or less, or add tokenizer.shrink=true"
        )
        self.most = most


def train_sentencepiece(texts: Iterable[str], vocab_size: int, path: str | Path) -> Tokenizer:
    """Train on `texts`, write the model to `path`, and load it.

    Deterministic: the same texts in the same order give the same bytes.
    Raises TooFewTexts where the texts do not give `vocab_size` pieces, UserError where so few
    cannot hold the labels, the bytes and the characters of the texts.
    """
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            user_defined_symbols=list(LABELS),
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=3,
            max_sentence_length=4 * MAX_LINE_CHARACTERS + 4,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _reason(str(error), vocab_size) from None
    Path(path).write_bytes(model.getvalue())
    return load_tokenizer(path)


def most_pieces(texts: Iterable[str]) -> int:
    """The largest vocabulary that `texts` give; a second for 5 MB."""
    with tempfile.TemporaryDirectory(prefix="geo-nemo-") as folder:
        try:
            return train_sentencepiece(texts, _TOO_MANY, Path(folder) / "model").vocab_size
        except TooFewTexts as error:
            return error.most


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), MAX_LINE_CHARACTERS):
                yield line[start : start + MAX_LINE_CHARACTERS]


def _reason(message: str, vocab_size: int) -> UserError:
    most = re.search(r"value <= (\d+)", message)
    if most:
        return TooFewTexts(vocab_size, int(most[1]))
    least = re.search(r"required_chars\. \d+ vs (\d+)", message)
    if least or "required_chars" in message:
        mend = f"set it to {least[1]} or more" if least else "raise it"
        return UserError(
            f"tokenizer.vocab_size={vocab_size} is too small for the characters of the train "
            f"texts: {mend}"
        )
    line = " ".join(message.split())[:200]
    return UserError(f"cannot train a tokenizer of {vocab_size} pieces: {line}")
