"""What the measurements of one call share: options, the corpus, the vocabulary."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from benchmarks.corpora.news import MEDIAN_WORDS, records, write_jsonl
from geo_nemo.common.errors import UserError

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
# Llama-3's split of text into words, as its tokenizer.json has it.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
RECORD_BYTES = 3000


@dataclass(frozen=True)
class Setting:
    """Options of a call. rounds: of each comparison. folder: for everything that is written."""

    folder: Path
    quick: bool
    large: bool
    rounds: int
    input: Path | None
    tokenizer: Path | None
    megatron: Path | None
    extraction: Path | None = None
    beside: Path | None = None

    def either(self, quick: int, full: int, large: int | None = None) -> int:
        """What fits the call; `full` where there is no larger one."""
        return quick if self.quick else (large or full) if self.large else full

    def corpus(self, text_bytes: int, median_words: int = MEDIAN_WORDS) -> "Corpus":
        """Records with about `text_bytes` of text, of the input or generated, as one file."""
        path = self.folder / f"corpus-{text_bytes}.jsonl"
        rows = self._rows(text_bytes, median_words)
        return Corpus(path, write_jsonl(path, rows), "input" if self.input else "generated")

    @cached_property
    def vocabulary(self) -> "Vocabulary":
        """The tokenizer.json of the call; trained on another corpus than is measured."""
        return self.vocabulary_of(self.either(16_000, 128_000))

    def vocabulary_of(self, size: int) -> "Vocabulary":
        """The same of another size, where it is trained."""
        folder = self.folder / f"tokenizer-{size}"
        folder.mkdir(exist_ok=True)
        path = folder / "tokenizer.json"
        if self.tokenizer is not None:
            path.write_bytes(self.tokenizer.read_bytes())
        else:
            train_vocabulary(path, self._sample(), size)
        bos, eos = control_tokens(path)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos}
        (folder / "tokenizer_config.json").write_bytes(orjson.dumps(config))
        return Vocabulary(path, eos)

    def _rows(self, text_bytes: int, median_words: int) -> Iterator[dict[str, Any]]:
        generated = records(1 << 62, median_words=median_words)
        rows = input_records(self.input) if self.input else generated
        held = 0
        for row in rows:
            yield row
            held += len(row["text"].encode())
            if held >= text_bytes:
                return

    def _sample(self) -> Iterator[str]:
        count = self.either(4_000_000, 40_000_000) // RECORD_BYTES
        if self.input is None:
            return (row["text"] for row in records(count, seed=1))
        # Every other record, from the second on: half of it is unseen by the vocabulary.
        return (row["text"] for i, row in enumerate(input_records(self.input)) if i % 2)


@dataclass(frozen=True)
class Corpus:
    """A file of JSON Lines. text_bytes: of its texts. kind: `generated` or `input`."""

    path: Path
    text_bytes: int
    kind: str

    @property
    def megabytes(self) -> float:
        return self.text_bytes / 1e6

    @property
    def case(self) -> str:
        return f"{self.kind}, {self.megabytes:.0f} MB of text"


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer.json in a folder that transformers can load. eos: name of its last token."""

    path: Path
    eos: str


def input_records(path: Path) -> Iterator[dict[str, Any]]:
    """Records of a user's file that have a text. UserError where it has none."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            rows = (row for row in map(orjson.loads, file) if row.get("text"))
            first = next(rows, None)
            if first is None:
                raise UserError(f"--input {path}: no record has a text")
            yield from chain([first], rows)
    except (OSError, EOFError, AttributeError, orjson.JSONDecodeError) as error:
        raise UserError(f"--input {path} is not JSON Lines of objects: {error}") from None


def train_vocabulary(path: Path, texts: Iterator[str], size: int) -> None:
    """A byte-level BPE with Llama-3's pattern, on all cores."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(name, special=True) for name in (BOS, EOS)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))


def control_tokens(path: Path) -> tuple[str, str]:
    """Names of BOS and EOS of a tokenizer.json, as this project finds them."""
    from geo_nemo.tokenizers.load import load_tokenizer

    tokenizer = load_tokenizer(path)
    bos, eos = tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id])
    return bos, eos
