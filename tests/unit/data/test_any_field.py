"""Fields that depend on any columns: each document shows its own values, in every cache and count.

The oracle computes a document's lines from the document itself, not from a split or a composer.
"""

import hashlib
import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_nemo.config import Data, MetadataPolicy, UserError
from geo_nemo.data.audit.check import audit_stage
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.fragments import Fragment
from geo_nemo.data.lengths import MetadataLengths
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import FIELDS, Field, Form
from geo_nemo.metadata.record import KEY_OF, Kind
from tests.unit.data.fakes import CONTINENT_OF, Document, MemorySplit, WordTokenizer

NAMES = ("alpha", "beta", "gamma", "delta")


def value_of(name: str, *columns) -> str | None:
    """A value that differs wherever a column does; about one in four is missing."""
    digest = hashlib.blake2b(repr((name, columns)).encode(), digest_size=8).digest()
    if digest[0] < 64:
        return None
    return " ".join([f"w{digest[1] % 3}"] * (1 + digest[2] % 3) + [digest[3:].hex()])


def column_of(document: Document, column: str):
    return CONTINENT_OF[document.country] if column == "continent" else (
        "https" if column == "scheme" else getattr(document, column)
    )  # fmt: skip


@contextmanager
def declared(columns: dict[str, tuple[str, ...]]):
    """Fields with these names, each of which depends on these columns."""
    for name, of in columns.items():
        form = Form(of, lambda *values, name=name: value_of(name, *values), name)
        FIELDS[name] = Field(name, name.upper(), {"plain": form})
    try:
        yield
    finally:
        for name in columns:
            del FIELDS[name]


documents = st.lists(
    st.builds(
        Document,
        title=st.just([]),
        body=st.just([]),
        host=st.sampled_from(["a.com", "b.com", "c.co.uk"]),
        country=st.sampled_from(sorted(CONTINENT_OF)),
        path=st.sampled_from(["", "/a", "/b?c"]),
        source=st.sampled_from(["news", "web"]),
        year=st.sampled_from([-1, 0, 1999, 2020, 2021]),
        quality=st.integers(0, 3),
    ),
    min_size=1,
    max_size=24,
)
fields = st.dictionaries(
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(sorted(KEY_OF)), max_size=3, unique=True).map(tuple),
    min_size=1,
)


def numbered(found: list[Document]) -> list[Document]:
    """With a body of one token that tells who it is."""
    return [
        Document(**{**vars(document), "body": [1000 + place]})
        for place, document in enumerate(found)
    ]


@settings(max_examples=120)
@given(
    found=documents,
    columns=fields,
    dropped=st.sets(st.sampled_from(NAMES)),
    append=st.booleans(),
    packing=st.sampled_from(["best_fit", "concat"]),
    heads=st.booleans(),
)
def test_each_document_shows_its_own_values(found, columns, dropped, append, packing, heads):
    found = numbered(found)
    policy = MetadataPolicy(
        fields=tuple(columns),
        field_dropout=dict.fromkeys(sorted(dropped & columns.keys()), 0.5),
        position="append" if append else "prepend",
        mask_loss=not append,
    )
    with declared(columns):
        sequences = StageDataset(
            MemorySplit(found),
            Data(
                store="unused", seq_length=64, packing_window=9, packing=packing,
                prefix_fragments=heads,
            ),
            policy,
            WordTokenizer(),
            np.arange(len(found)),
            seed=3,
        )  # fmt: skip
        shown, planned = {}, {}
        for number in range(len(sequences)):
            sequence = sequences[number]
            for place, fragment in enumerate(sequences.fragments(number)):
                span = slice(sequence.cu_seqlens[place], sequence.cu_seqlens[place + 1])
                ids, kinds = sequence.labels[span], sequence.label_kinds[span]
                metadata = ids[kinds == Kind.METADATA].tolist()
                who = {fragment.document} if fragment.bare else set(ids[kinds == Kind.BODY] - 1000)
                assert who == {fragment.document} and len(metadata) == fragment.metadata
                shown.setdefault(fragment.document, []).extend([(fragment.start, metadata)])
                planned[fragment.document] = fragment.kept
        assert audit_stage(sequences).broken == {}
    assert shown.keys() == set(range(len(found)))
    for number, document in enumerate(found):
        lines = []
        for bit, (name, of) in enumerate(columns.items()):
            value = value_of(name, *(column_of(document, column) for column in of))
            if value is not None and planned[number] >> bit & 1:
                lines.append(f"{name.upper()}: {value}")
            assert name in dropped or planned[number] >> bit & 1
        block = "\n".join(lines)
        text = "" if not lines else f"\n\n{block}" if append else f"{block}\n\n"
        pieces = [ids for _, ids in sorted(shown[number])]
        ids = [token for piece in pieces for token in piece]
        assert sequences.tokenizer.decode(ids) == text


class OwnColumn(MemorySplit):
    """A split whose documents have a field of the user's own, each a value of its own."""

    def __init__(self, found: list[Document], own: str):
        super().__init__(found)
        self.own, self.columns = own, (*KEY_OF, own)

    def codes(self, column):
        return (
            np.arange(1, len(self.documents) + 1) if column == self.own else super().codes(column)
        )

    def code_reader(self, columns):
        return lambda index: tuple(int(self.codes(column)[index]) for column in columns)

    def record(self, index):
        return replace(super().record(index), extra={self.own: f"v{index}"})


@pytest.mark.parametrize("name", sorted(set(Fragment._fields) - KEY_OF.keys()))
def test_a_field_may_be_called_as_a_number_of_a_fragment(name):
    found = numbered([Document([], []) for _ in range(12)])
    sequences = StageDataset(
        OwnColumn(found, name),
        Data(store="unused", seq_length=64),
        MetadataPolicy(fields=("country", name)),
        WordTokenizer(),
        np.arange(len(found)),
        seed=3,
    )
    shown = set()
    for sequence in map(sequences.__getitem__, range(len(sequences))):
        words = sequences.tokenizer.decode(sequence.labels[sequence.label_kinds == Kind.METADATA])
        shown.update(re.findall(r"v\d+", words))
    assert shown == {f"v{number}" for number in range(len(found))}


def test_fields_above_the_eighth_are_dropped_and_shown_like_the_first():
    columns = {f"f{i:02}": ("host",) for i in range(40)}
    found = numbered([Document([], [], f"h{i}.com") for i in range(60)])
    with declared(columns):
        policy = MetadataPolicy(
            fields=tuple(columns), field_dropout=dict.fromkeys(("f03", "f11", "f39"), 0.5)
        )
        sequences = StageDataset(
            MemorySplit(found), Data(store="unused", seq_length=400), policy, WordTokenizer(),
            np.arange(60), 3,
        )  # fmt: skip
        kept = [fragment.kept for i in range(len(sequences)) for fragment in sequences.fragments(i)]
        assert audit_stage(sequences).broken == {}
    for place in range(40):
        fraction = sum(mask >> place & 1 for mask in kept) / 60
        assert 0.25 < fraction < 0.75 if place in (3, 11, 39) else fraction == 1


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (MetadataPolicy(fields=("contry",)), "no field contry, there is .*; did you mean country"),
        (MetadataPolicy(fields=("theme",)), "stages.s.metadata: no field theme, there is url"),
    ],
)
def test_a_field_that_the_store_lacks_is_one_line(policy, words):
    from geo_nemo.store.fields import check_fields

    with pytest.raises(UserError, match=words):
        check_fields(policy, MemorySplit([Document([], [])]), "stages.s.metadata")


def test_a_field_that_no_document_has_is_one_line():
    from geo_nemo.store.fields import check_fields

    split = MemorySplit([Document([], [], year=0)] * 3 + [Document([], [], year=2020)])
    with declared({"alpha": ("year",)}):
        policy = MetadataPolicy(fields=("alpha",))
        check_fields(policy, split, "metadata")
        FIELDS["alpha"] = Field("alpha", "A", {"plain": Form(("year",), lambda year: None, "a")})
        with pytest.raises(UserError, match="no document of split train of memory has the field"):
            check_fields(policy, split, "metadata")


def test_a_year_below_0_is_not_taken_for_the_last():
    """A table of lengths by year has no place for it, and Python counts from the end."""
    sizes = {year: len(value_of("alpha", year) or "") for year in range(-9, 2000)}
    last = next(year for year in range(1900, 2000) if sizes[year] and sizes[year] != sizes[-1])
    split = MemorySplit([Document([], [], year=year) for year in (last, -1, last, -1)])
    documents, kept = np.arange(4), np.ones(4, np.uint8)
    with declared({"alpha": ("year",)}):
        composer = Composer(MetadataPolicy(fields=("alpha",)), WordTokenizer())
        lengths = MetadataLengths(composer, split)
        for part in (documents[:1], documents):
            expected = [len(composer.prefix_ids(split.record(number))) for number in part]
            assert lengths(part, kept[: len(part)]).tolist() == expected
        assert len(set(expected)) == 2
