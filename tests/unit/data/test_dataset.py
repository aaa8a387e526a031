"""A stage's sequences: nothing lost, nothing twice, the same however they are asked for."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_nemo.config import Data, MetadataPolicy, UserError
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.metadata.record import Kind
from tests.unit.data.fakes import Document, MemorySplit, WordTokenizer, random_documents

POLICIES = {
    "default": MetadataPolicy(),
    "none": MetadataPolicy(fields=()),
    "path": MetadataPolicy(fields=("country", "url"), url_form="path"),
    "dropout": MetadataPolicy(dropout=0.3, field_dropout={"url": 0.5, "country": 0.2}),
    "append": MetadataPolicy(position="append", mask_loss=False, field_dropout={"url": 0.5}),
}


PACKINGS = {
    "best fit": {},
    "best fit, bare": {"prefix_fragments": False},
    "concat": {"packing": "concat"},
    "concat, bare": {"packing": "concat", "prefix_fragments": False},
}


def dataset(
    documents,
    policy=None,
    *,
    seq_length=48,
    window=7,
    seed=3,
    samples=None,
    stage="s",
    packing="best fit",
):
    split = documents if isinstance(documents, MemorySplit) else MemorySplit(documents)
    return StageDataset(
        split,
        Data(store="unused", seq_length=seq_length, packing_window=window, **PACKINGS[packing]),
        policy or MetadataPolicy(),
        WordTokenizer(),
        np.arange(split.num_documents),
        seed,
        samples,
        stage=stage,
    )


def same(a: PackedSequence, b: PackedSequence) -> bool:
    return all(
        np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


def labels_of(sequences, *kinds: Kind) -> Counter:
    """How often each token is a trained label of these kinds."""
    found: Counter = Counter()
    for sequence in sequences:
        chosen = np.isin(sequence.label_kinds, kinds) & (sequence.loss_mask == 1)
        found.update(sequence.labels[chosen].tolist())
    return found


def segments_of(sequence: PackedSequence) -> list[list[int]]:
    """The whole token ids of each document or fragment of a sequence."""
    spans = zip(sequence.cu_seqlens[:-1], sequence.cu_seqlens[1:], strict=True)
    return [
        [*sequence.tokens[a:b].tolist(), int(sequence.labels[b - 1])]
        for a, b in spans
        if sequence.segment_ids[a] >= 0
    ]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 25), window=st.integers(1, 30))
def test_an_epoch_trains_every_token_of_the_store_exactly_once(name, packing, seed, count, window):
    documents = random_documents(seed, count)
    sequences = list(dataset(documents, POLICIES[name], window=window, packing=packing))
    assert labels_of(sequences, Kind.BODY) == Counter(t for d in documents for t in d.body)
    assert labels_of(sequences, Kind.TITLE) == Counter(t for d in documents for t in d.title)
    assert labels_of(sequences, Kind.EOS) == {WordTokenizer.eos_id: len(documents)}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), window=st.integers(1, 30))
def test_planned_lengths_are_those_of_the_composed_sequences(name, packing, seed, window):
    data = dataset(random_documents(seed, 20), POLICIES[name], window=window, packing=packing)
    sequences = list(data)
    kinds = [(sequence, sequence.label_kinds, sequence.loss_mask == 1) for sequence in sequences]
    text = sum(int((np.isin(k, [Kind.TITLE, Kind.BODY]) & m).sum()) for _, k, m in kinds)
    assert data.index.counts.text_tokens == text
    later = 0
    for i, (sequence, label_kinds, trained) in enumerate(kinds):
        is_text = np.isin(label_kinds, [Kind.TITLE, Kind.BODY]) & trained
        for place, fragment in enumerate(data.fragments(i)):
            inside = is_text[sequence.cu_seqlens[place] : sequence.cu_seqlens[place + 1]]
            assert (len(inside), int(inside.sum())) == (fragment.positions, fragment.text)
            later += int(inside.sum()) if fragment.start else 0
    assert data.index.counts.later_text_tokens == later
    statistics = data.statistics()
    filled = sum(int((sequence.segment_ids >= 0).sum()) for sequence in sequences)
    metadata = sum(int((sequence.label_kinds == Kind.METADATA).sum()) for sequence in sequences)
    assert statistics.sequences == len(sequences)
    assert statistics.fill == filled / (len(sequences) * 48)
    assert statistics.metadata_fraction == metadata / filled
    assert statistics.documents_per_sequence == sum(
        len(segments_of(sequence)) for sequence in sequences
    ) / len(sequences)
    assert statistics.epochs == 1


def test_a_cut_document_shows_its_metadata_in_every_fragment_and_its_body_in_order():
    tokenizer = WordTokenizer()
    body = list(range(1000, 1100))
    data = dataset([Document(title=[], body=body)], MetadataPolicy(fields=("country",)))
    data.tokenizer.encode("COUNTRY: gb\n\nTITLE: CONTENT:")
    segments = [segment for sequence in data for segment in segments_of(sequence)]
    head = [1, *data.tokenizer.encode("COUNTRY: gb\n\nCONTENT:")]
    assert [segment[: len(head)] for segment in segments] == [head] * len(segments)
    pieces = sorted(segment[len(head) :] for segment in segments)
    assert [token for piece in pieces for token in piece] == [*body, tokenizer.eos_id]
    assert len(pieces) == 3
    assert data.statistics().cut_fraction == 1


def shown(data) -> dict[int, str]:
    """The metadata that each document shows, as text, by the document's one body token."""
    segments = [segment for sequence in data for segment in segments_of(sequence)]
    return {segment[-2]: data.tokenizer.decode(segment[1:-3]) for segment in segments}


def test_documents_of_one_host_in_two_countries_show_each_its_own():
    countries = ["us", "in", "us", "gb", "in", "gb"]
    documents = [Document([], [1000 + i], "cnn.com", c) for i, c in enumerate(countries)]
    data = dataset(documents, MetadataPolicy(fields=("url", "country")))
    assert shown(data) == {
        1000 + i: f"URL: cnn.com\nCOUNTRY: {country}\n\n" for i, country in enumerate(countries)
    }


def test_a_bare_piece_goes_on_where_the_one_before_it_ended():
    body = list(range(1000, 1100))
    packing = "concat, bare"
    data = dataset([Document([], body)], MetadataPolicy(fields=("country",)), packing=packing)
    # BOS, COUNTRY: gb, newlines, CONTENT:, 100 of body and EOS: 107 tokens.
    whole = [1, *data.tokenizer.encode("COUNTRY: gb\n\n"), *data.tokenizer.encode("CONTENT:")]
    whole += [*body, WordTokenizer.eos_id]
    fragments = [data.fragments(i)[0] for i in range(len(data))]
    sequences = [data[i] for i in np.argsort([fragment.start for fragment in fragments])]
    assert [len(segments_of(sequence)) for sequence in sequences] == [1, 1, 1]
    assert sequences[0].tokens.tolist() == whole[:48]
    assert sequences[1].tokens.tolist() == whole[48:96]
    assert sequences[1].labels.tolist() == whole[49:97]
    assert sequences[1].loss_mask.all()
    assert sequences[2].tokens[: len(whole) - 97].tolist() == whole[96:-1]
    assert data.statistics().fill == (len(whole) - 1) / (3 * 48)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_sequence_is_never_longer_than_it_may_be_and_concat_pads_least(packing):
    documents = random_documents(8, 300)
    data = dataset(documents, POLICIES["none"], window=300, packing=packing)
    assert data.statistics().fill > {"best fit": 0.9, "concat, bare": 0.99}.get(packing, 0.9)
    if packing == "concat, bare":
        assert data.statistics().sequences == -(-data.index.counts.positions // 48)


def test_one_document_that_fills_the_sequence_exactly():
    # BOS, URL: host, COUNTRY: gb, ... CONTENT: are 12 tokens; with 36 of body and EOS, 48 places.
    head = 12
    body = list(range(1000, 1000 + 48 - head))
    data = dataset([Document(title=[], body=body)])
    assert len(data) == 1
    assert data[0].cu_seqlens.tolist() == [0, 48]
    assert data[0].labels[-1] == WordTokenizer.eos_id
    assert data.statistics().fill == 1
    assert data.statistics().fragments == 1


def test_empty_body_and_empty_title_train_eos_alone():
    data = dataset([Document(title=[], body=[])], MetadataPolicy(fields=()))
    sequence = data[0]
    assert sequence.tokens[:2].tolist() == [1, data.tokenizer.encode("CONTENT:")[0]]
    assert sequence.labels[:2].tolist() == [data.tokenizer.encode("CONTENT:")[0], 2]
    assert sequence.loss_mask.tolist() == [0, 1] + [0] * 46


def test_group_ids_are_indices_of_the_splits_countries():
    documents = [
        Document(title=[], body=[1000], country="us"),
        Document(title=[], body=[1001], country="gb"),
    ]
    sequence = dataset(documents, MetadataPolicy(fields=()))[0]
    source = {int(t): int(s) for t, s in zip(sequence.labels, sequence.group_ids, strict=True)}
    assert (source[1000], source[1001]) == (1, 0)  # countries are gb, us


def test_metadata_that_leaves_no_room_names_host_and_seq_length():
    documents = [Document([], [1000], host="a.example"), Document([], [1000], path=" x" * 60)]
    policy = MetadataPolicy(url_form="path")
    with pytest.raises(UserError, match=r"bbc\.co\.uk.*seq_length 48"):
        dataset(documents, policy)


def test_a_stage_without_documents_is_a_users_mistake():
    split = MemorySplit([Document([], [1000])])
    data = Data(store="unused", seq_length=48)
    with pytest.raises(UserError, match="stage cooldown has no documents in split train"):
        StageDataset(
            split,
            data,
            MetadataPolicy(),
            WordTokenizer(),
            np.array([], int),
            1,
            1,
            stage="cooldown",
        )


def test_epochs_follow_each_other_reshuffled():
    documents = random_documents(5, 30)
    one = dataset(documents, POLICIES["none"], window=100)
    per_epoch = len(one)
    data = dataset(documents, POLICIES["none"], window=100, samples=2 * per_epoch + 1)
    assert len(data) == 2 * per_epoch + 1
    first = [data[i] for i in range(per_epoch)]
    second = [data[i] for i in range(per_epoch, 2 * per_epoch)]
    assert all(same(a, b) for a, b in zip(first, one, strict=True))
    assert labels_of(first, Kind.BODY) == labels_of(second, Kind.BODY)
    assert not all(same(a, b) for a, b in zip(first, second, strict=True))
    assert data[2 * per_epoch].tokens.shape == (48,)
    assert data.statistics().epochs == 3
    with pytest.raises(IndexError):
        data[2 * per_epoch + 1]


def test_sequences_do_not_depend_on_the_order_in_which_they_are_read():
    documents = random_documents(6, 60)
    forward = list(dataset(documents, POLICIES["dropout"], samples=80))
    data = dataset(documents, POLICIES["dropout"], samples=80)
    backward = [data[i] for i in reversed(range(80))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))


@pytest.mark.parametrize("change", [{"seed": 4}, {"stage": "t"}])
def test_seed_and_stage_name_change_the_order(change):
    documents = random_documents(6, 60)
    a, b = dataset(documents), dataset(documents, **change)
    assert not all(same(x, y) for x, y in zip(a, b, strict=False))


def test_dropout_leaves_out_about_its_fraction_and_differs_by_epoch():
    documents = [Document([], [1000 + i]) for i in range(2000)]
    policy = MetadataPolicy(fields=("url", "country"), dropout=0.25, field_dropout={"country": 0.5})
    data = dataset(documents, policy, window=2000)
    names = {data.tokenizer.encode(text)[0]: text for text in ("URL:", "COUNTRY:")}
    shown = {
        segment[-2]: tuple(names[token] for token in segment if token in names)
        for sequence in data
        for segment in segments_of(sequence)
    }
    assert len(shown) == 2000
    fractions = {fields: count / 2000 for fields, count in Counter(shown.values()).items()}
    assert fractions.keys() == {(), ("URL:",), ("URL:", "COUNTRY:")}
    assert fractions[()] == pytest.approx(0.25, abs=0.04)
    assert fractions[("URL:",)] == pytest.approx(0.375, abs=0.04)

    again = dataset(documents, policy, window=2000, samples=2 * len(data))
    later = {
        segment[-2]: tuple(names[token] for token in segment if token in names)
        for i in range(len(data), len(again))
        for segment in segments_of(again[i])
    }
    common = shown.keys() & later.keys()
    differing = sum(shown[d] != later[d] for d in common) / len(common)
    # 1 - (0.25^2 + 0.375^2 + 0.375^2)
    assert differing == pytest.approx(0.656, abs=0.05)


def test_packing_wastes_little():
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.lognormal(np.log(100), 0.7, 4000), 5000).astype(int) + 1
    documents = [Document([], [1000] * length) for length in lengths]
    data = dataset(documents, POLICIES["none"], seq_length=512, window=4000)
    assert data.statistics().fill > 0.997


def test_a_token_id_that_the_tokenizer_has_not_names_the_document_and_the_store():
    class Small(WordTokenizer):
        vocab_size = 100

    documents = [Document(title=(), body=(50,)), Document(title=(), body=(65_535,))]
    sequences = dataset(documents)
    sequences.tokenizer = Small()
    with pytest.raises(UserError, match=r"documents \[0, 1\] of split train hold token ids above"):
        list(sequences)
