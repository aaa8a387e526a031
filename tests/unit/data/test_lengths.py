"""Lengths of metadata blocks without composing them, against composing them."""

import numpy as np
import pytest

from geo_nemo.config import MetadataPolicy
from geo_nemo.data.dropout import fields_of, kept_fields, mask_dtype
from geo_nemo.data.lengths import MetadataLengths
from geo_nemo.metadata.compose import Composer
from tests.unit.data.fakes import MemorySplit, WordTokenizer, random_documents


class SpaceTokenizer(WordTokenizer):
    """Hosts and paths of several words, so that lengths differ by value."""

    def encode(self, text):
        return super().encode(text.replace(".", " ."))


@pytest.mark.parametrize("form", ["host", "path", "full"])
@pytest.mark.parametrize("position", ["prepend", "append"])
@pytest.mark.parametrize(
    "fields", [("url", "country", "continent"), ("continent", "url"), ("country",), ()]
)
def test_lengths_are_those_of_the_blocks_for_every_subset_of_fields(form, position, fields):
    policy = MetadataPolicy(
        fields=fields, url_form=form, position=position, mask_loss=position == "prepend"
    )
    split = MemorySplit(random_documents(4, 30))
    composer = Composer(policy, SpaceTokenizer())
    lengths = MetadataLengths(composer, split)
    for subset in range(1 << len(fields)):
        documents = np.array([7, 3, 29, 3, 0, *range(30)])
        kept = np.full(len(documents), subset, dtype=np.uint8)
        expected = [
            len(composer.prefix_ids(split.record(document), fields_of(policy, subset)))
            for document in documents.tolist()
        ]
        assert lengths(documents, kept).tolist() == expected


def test_hosts_are_tokenised_once_however_many_documents_have_them():
    split = MemorySplit(random_documents(4, 200))
    tokenizer = WordTokenizer()
    lengths = MetadataLengths(Composer(MetadataPolicy(), tokenizer), split)
    texts: list[str] = []
    encode = tokenizer.encode_batch
    tokenizer.encode_batch = lambda batch: texts.extend(batch) or encode(batch)
    for _ in range(2):
        lengths(np.arange(200), np.full(200, 7, dtype=np.uint8))
    assert sorted(texts) == sorted(
        [f"URL: {host}" for host in split.hosts]
        + [f"\nCOUNTRY: {country}" for country in split.countries]
        + [f"\nCONTINENT: {continent}" for continent in ("America", "Asia", "Europe")]
    )


def test_dropout_of_a_document_does_not_depend_on_the_others():
    policy = MetadataPolicy(dropout=0.3, field_dropout={"url": 0.5})
    whole = kept_fields(policy, 5, 2, np.arange(100))
    places = np.array([99, 4, 4, 50])
    assert kept_fields(policy, 5, 2, places).tolist() == whole[places].tolist()
    assert whole.tolist() != kept_fields(policy, 5, 3, np.arange(100)).tolist()
    assert whole.tolist() != kept_fields(policy, 6, 2, np.arange(100)).tolist()


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (MetadataPolicy(dropout=1.0), 0b000),
        (MetadataPolicy(dropout=0.0), 0b111),
        (MetadataPolicy(field_dropout={"country": 1.0}), 0b101),
    ],
)
def test_certain_dropout(policy, kept):
    assert kept_fields(policy, 5, 0, np.arange(50)).tolist() == [kept] * 50


def test_the_draws_of_dropout_are_those_of_3ff4b84():
    def draws(policy, epoch):
        return kept_fields(policy, 7, epoch, np.arange(16)).tolist()

    policy = MetadataPolicy(dropout=0.3, field_dropout={"country": 0.5, "url": 0.2})
    assert draws(policy, 0) == [0, 0, 0, 5, 7, 7, 7, 7, 0, 4, 0, 7, 6, 4, 5, 5]
    assert draws(policy, 3) == [5, 7, 7, 6, 0, 7, 7, 0, 0, 0, 0, 7, 7, 7, 7, 6]
    # There was no plain text then: what it takes is drawn with `dropout`.
    policy = MetadataPolicy(dropout=0.2, plain_dropout=0.3, field_dropout={"country": 0.5})
    assert draws(policy, 0) == [8, 8, 0, 5, 8, 7, 7, 7, 0, 5, 0, 8, 8, 5, 8, 5]


@pytest.mark.parametrize(("fields", "bytes_"), [(0, 1), (8, 1), (9, 4), (32, 4), (33, 8), (64, 8)])
def test_a_mask_has_a_bit_a_field_and_is_no_wider_than_needed(fields, bytes_):
    names = tuple(f"field_{number}" for number in range(fields))
    assert mask_dtype(MetadataPolicy(fields=names)).itemsize == bytes_
    plain = {8: 4, 32: 8}
    if fields in plain:
        policy = MetadataPolicy(fields=names, plain_dropout=0.5)
        assert mask_dtype(policy).itemsize == plain[fields]
