"""The tokenizer of a store: one that is given, or one to train."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geo_nemo.config.section import Filled, Positive, Section
from geo_nemo.tokenizers.kinds import KnownKind


class TokenizerChoice(Section):
    """A tokenizer to load (`path`), or one to train on a sample of the train split.

    path: a sentencepiece `.model`, a Hugging Face `tokenizer.json` or a `.tiktoken` vocabulary.
    kind: where the file's ending does not tell: sentencepiece, huggingface, tiktoken, or one of
        entry points of the group `geo_nemo.tokenizers`.
    bos, eos, pad: names of a vocabulary's control tokens, where they are unusual.
    vocab_size: pieces of the sentencepiece BPE that is trained where `path` is not given.
    keep: the one that an earlier run into this output (or one of dedup.against) trained with the
        same settings is taken as it is, so that its store's ids stay.
    shrink: train as many pieces as the texts give where they do not give `vocab_size`.
    sample_bytes: UTF-8 bytes of train text it is trained on, about; drawn by content hash.
    balance: train on equally much text of each `country`, `continent`, `language` or `source`, or
        all that there is of one; without it, on a fair sample of all.
    check_documents: documents of a shard whose ids are compared with the reference tokenizer's,
        where a faster one makes them.
    """

    path: Filled | None = None
    kind: KnownKind | None = None
    bos: Filled | None = None
    eos: Filled | None = None
    pad: Filled | None = None
    vocab_size: Annotated[int, Field(ge=300)] = 8192
    keep: bool = True
    shrink: bool = False
    sample_bytes: Positive = 20_000_000
    balance: Literal["country", "continent", "language", "source"] | None = None
    check_documents: Positive = 64

    @model_validator(mode="after")
    def _kind_of_a_file(self):
        if self.kind and not self.path:
            raise ValueError("kind is that of a file: give path, too")
        return self
