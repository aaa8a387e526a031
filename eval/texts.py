"""The texts that are scored, by where they stand: a token store, or a corpus of `geo-nemo prep`.

A store holds ids of one tokenizer, so that only models with that one can be scored on it. A corpus
holds texts: each model reads them by its own tokenizer, and all are scored on the same words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eval.model import Model
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store import Split, TokenStore
from geo_nemo.store.fields import check_columns, check_fields
from geo_nemo.tokenizers.base import Tokenizer


class Items(Protocol):
    """The documents of a split without their texts; arrays have shape [n].

    hosts: names that `host` is an index into; an empty one is of documents whose host is not known.
    """

    name: str
    num_documents: int
    hosts: Sequence[str]
    country: np.ndarray
    host: np.ndarray
    content_hash: np.ndarray

    def record(self, index: int) -> MetadataRecord: ...


class Tokens(Protocol):
    """Ids of titles and bodies, by a document's number in the split, as `Split` has them."""

    name: str

    def title(self, index: int) -> np.ndarray: ...

    def body(self, index: int) -> np.ndarray: ...


class Texts(Protocol):
    """address, hash: what is scored. countries: that `items.country` is an index into.

    hashed: `items.content_hash` is of the texts, so that it can be looked for in training.
    """

    address: str
    hash: str
    hashed: bool
    countries: Sequence[str]
    continent_of: Mapping[str, str]
    items: Items

    def check(self, policy: MetadataPolicy, key: str) -> None:
        """Raise `UserError` where no document has a field of the policy."""
        ...

    def check_groups(self, groups: Sequence[str], key: str = "groups") -> None:
        """Raise `UserError` where there is no column for one of the fields."""
        ...


@dataclass(frozen=True)
class StoreTexts:
    """A split of a token store."""

    store: TokenStore
    items: Split
    hashed: bool = True

    @property
    def address(self) -> str:
        return str(self.store.root)

    @property
    def hash(self) -> str:
        return self.store.hash

    @property
    def countries(self) -> Sequence[str]:
        return self.store.countries

    @property
    def continent_of(self) -> Mapping[str, str]:
        return self.store.continent_of

    def check(self, policy: MetadataPolicy, key: str) -> None:
        check_fields(policy, self.items, key)

    def check_groups(self, groups: Sequence[str], key: str = "groups") -> None:
        check_columns(MetadataPolicy(fields=groups), self.store, key)


def open_store(address: str, split: str, cache_dir: str | None) -> StoreTexts:
    """A split of the store at `address`, here or on `s3://`."""
    store = TokenStore.open(address, cache_dir=cache_dir)
    found = StoreTexts(store, store.split(split))
    # Finished cells are known by the manifest's hash: what it lists must be what is there.
    store.verify(splits=(split,))
    return found


def check_tokenizers(models: Mapping[str, Model], tokenizer: Tokenizer, store: str) -> None:
    """Raise `UserError` for the first model with another tokenizer than the store's."""
    for model in models.values():
        if model.tokenizer_sha256 == tokenizer.sha256:
            continue
        where = f"runs.{model.name}={model.folder}"
        known = "was trained with another tokenizer than" if model.tokenizer_sha256 else "brings"
        what = f"that of store={store}" if known.startswith("was") else "a tokenizer of its own"
        raise UserError(
            f"{where} {known} {what}: give corpus=PREP/corpus in place of the store, where each "
            "model reads texts by its own"
        )
