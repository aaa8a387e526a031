"""Every template: whole texts' ids, planned lengths, no token lost or shown twice."""

import numpy as np
import pytest

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.config import Data, MetadataPolicy
from geo_nemo.config.template import Template
from geo_nemo.data.audit.check import audit_stage
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.dropout import fields_of, is_plain
from geo_nemo.data.text_lengths import TextLengths
from geo_nemo.data.token_selection import TokenSelection, write_selection
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from tests.support.older_stores import without_first_words
from tests.support.vocabularies import KINDS, make_tokenizers
from tests.unit.data_prep.store_tools import worlds

OWN = Template(line="<{label}={value}>", after="\n--\n", title="# {title}\n\n", body="Text: {body}")
POLICIES = {
    "meco": MetadataPolicy(fields=("url",), template="meco"),
    "plain": MetadataPolicy(fields=(), template="plain"),
    "path": MetadataPolicy(fields=("url", "year"), url_form="path", template="plain"),
    "dropout": MetadataPolicy(
        fields=("country", "year", "source"), template="meco", dropout=0.3,
        field_dropout={"year": 0.5},
    ),
    "source": MetadataPolicy(fields=("source",), template="plain"),
    "own": MetadataPolicy(fields=("year", "continent"), template=OWN, field_dropout={"year": 0.5}),
    "trained": MetadataPolicy(fields=("url",), template="meco", mask_loss=False),
    "localization": MetadataPolicy(
        fields=("url", "country", "year"), url_form="path", cut="whole", dropout=0.2,
        field_dropout={"country": 0.5},
    ),
    "cooldown": MetadataPolicy(fields=(), cut="whole"),
    "mixed": MetadataPolicy(
        fields=("url", "country", "year"), cut="whole", dropout=0.2, plain_dropout=0.4,
        field_dropout={"year": 0.5},
    ),
    "mixed, as before": MetadataPolicy(fields=("url", "country"), plain_dropout=0.5, cut="whole"),
    "appended": MetadataPolicy(
        fields=("url", "year"), url_form="path", position="append", mask_loss=False, cut="whole",
        dropout=0.3,
    ),
    "meco appended": MetadataPolicy(
        fields=("source", "year"), position="append", mask_loss=False, template="meco",
        field_dropout={"year": 0.5},
    ),
}  # fmt: skip
META = {
    "meta-tokens": MetadataPolicy(fields=("url",), template="meco", meta_tokens=3),
    "meta-tokens, appended": MetadataPolicy(
        fields=("year",), position="append", loss_weights={"metadata": 0.5}, cut="whole",
        meta_tokens=2,
    ),
}  # fmt: skip
PACKINGS = {
    "best fit": {},
    "best fit, bare": {"prefix_fragments": False},
    "concat": {"packing": "concat"},
    "concat, bare": {"packing": "concat", "prefix_fragments": False},
}
WORDS = ["The", "day", "fares", "it's", "25%", "caf\u00e9", "(so)", "no.", "\u4f60\u597d", "U.S."]
PLACES = [("a.co.uk", "gb"), ("both.com", "us"), ("both.com", "ke"), ("c.ie", "ie")]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of each kind of vocabulary, and its documents as texts."""
    folder = tmp_path_factory.mktemp("stores")
    made = {}
    rng = np.random.default_rng(4)
    documents, texts = [], []
    for number in range(50):
        host, country = PLACES[number % 4]
        words = [WORDS[i] for i in rng.integers(len(WORDS), size=1 + rng.integers(80))]
        title = " ".join(words[:3]) if number % 3 else ""
        texts.append((title, " ".join([*words, str(number)] if number % 2 else words)))
        documents.append(
            StoreDocument(
                host, country, f"/{number}/", number + 1, year=2000 + number if number % 5 else 0,
                # A value that ends as no line is closed: "U.S." and what follows may be one token.
                source=("U.S.", "web")[number % 2],
            )
        )  # fmt: skip
    for kind, tokenizer in make_tokenizers(folder).items():
        path = min((folder / kind).iterdir(), key=lambda file: len(file.name))
        root = folder / kind / "store"
        root.mkdir()
        continents = worlds.CONTINENTS
        writer = StoreWriter(root, tokenizer, path, sorted(continents), continents, 20)
        writer.add(
            "train",
            documents,
            [tokenizer.encode(f" {title}\n\n") if title else [] for title, _ in texts],
            [tokenizer.encode(f" {body}") for _, body in texts],
        )
        writer.finish({}, [])
        made[kind] = TokenStore.open(root)
    return made, texts


def dataset(store, policy, packing, seq_length):
    split = store.split("train")
    data = Data(store="unused", seq_length=seq_length, packing_window=16, **PACKINGS[packing])
    return StageDataset(split, data, policy, store.tokenizer(), np.arange(len(split)), 3)


def whole_text(policy, record, kept, title, body) -> str:
    """Written down anew, of the fields whose bits are set in `kept`."""
    url = record.host + record.path if policy.url_form == "path" else record.host
    values = {
        "url": url, "country": record.country, "continent": record.continent,
        "year": record.year, "source": record.source,
    }  # fmt: skip
    own = policy.template == OWN
    lines = [
        f"<{field.upper()}={values[field]}>" if own else f"{field.upper()}: {values[field]}"
        for bit, field in enumerate(policy.fields)
        if kept >> bit & 1 and values[field]
    ]
    block = "\n".join(lines)
    after = ("\n--\n" if own else "\n\n") if lines else ""
    labels = ("TITLE: ", "CONTENT: ") if policy.template == "localization" else ("", "")
    labels = ("# ", "Text: ") if own else labels
    if kept >> len(policy.fields):
        labels = ("", "")
    text = (f"{labels[0]}{title}\n\n" if title else "") + labels[1] + body
    return text + after + block if policy.position == "append" else block + after + text


@pytest.mark.parametrize("packing", ["best fit", "concat, bare"])
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_document_has_the_ids_of_its_text(stores, kind, name, packing):
    made, texts = stores
    sequences = dataset(made[kind], POLICIES[name], packing, 2048)
    tokenizer, split = made[kind].tokenizer(), made[kind].split("train")
    seen = 0
    for number in range(len(sequences)):
        sequence = sequences[number]
        for place, fragment in enumerate(sequences.fragments(number)):
            if fragment.bare:  # cut at a sequence's end
                continue
            span = slice(sequence.cu_seqlens[place], sequence.cu_seqlens[place + 1])
            ids = [*sequence.tokens[span].tolist(), int(sequence.labels[span][-1])]
            record = split.record(fragment.document)
            text = whole_text(POLICIES[name], record, fragment.kept, *texts[fragment.document])
            assert ids == [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
            seen += 1
    assert seen >= 45


@pytest.mark.parametrize(
    ("kind", "name", "packing"),
    [
        (kind, name, packing)
        for kind in KINDS
        for place, name in enumerate(POLICIES)
        for packing in PACKINGS
        # All of one kind; of the others each policy under one packing.
        if kind == "gpt_2" or packing == list(PACKINGS)[(place + KINDS.index(kind)) % 4]
    ],
)
def test_cut_documents_keep_every_rule_and_every_planned_length(stores, kind, name, packing):
    sequences = dataset(stores[0][kind], POLICIES[name], packing, 128)
    assert audit_stage(sequences).broken == {}
    assert sequences.statistics().cut_documents > 0
    for number in range(len(sequences)):
        sequence = sequences[number]
        for place, fragment in enumerate(sequences.fragments(number)):
            span = slice(sequence.cu_seqlens[place], sequence.cu_seqlens[place + 1])
            kinds = sequence.label_kinds[span]
            assert len(kinds) == fragment.positions
            assert (kinds == Kind.METADATA).sum() == fragment.metadata
            assert np.isin(kinds, [Kind.TITLE, Kind.BODY]).sum() == fragment.text


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_many_texts_are_those_of_each(stores, kind):
    split = stores[0][kind].split("train")
    documents = np.array([3, 49, 20, 20, 0, 19, 41])
    for ends, read in ((split.title_ends, split.title), (split.body_ends, split.body)):
        for most in (2, 8, 400):
            found = ends(documents, most)
            for number, document in enumerate(documents):
                ids = read(document).tolist()
                missing = [-1] * (most - len(ids))
                assert found.first[number].tolist() == ids[:most] + missing
                assert found.last[number].tolist() == missing + ids[-most:]
                assert found.sizes[number] == len(ids)
    for outside in (-1, 50):
        with pytest.raises(IndexError):
            split.body_ends(np.array([0, outside]), 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["meco", "plain", "appended", "meco appended"])
def test_the_parts_of_a_text_are_its_splice_whether_its_beginning_was_met_or_not(
    stores, kind, name
):
    store, policy = stores[0][kind], POLICIES[name]
    split = store.split("train")
    composer = Composer(policy, store.tokenizer())
    for opened in (False, True):
        for document in (*range(len(split)), *range(len(split))):
            for place, text in enumerate(split.texts(document)):
                splicer = composer.splicers(opened, len(split.title(document)) > 0)[place]
                # Texts that begin alike and go on otherwise, or end where others go on.
                for size in {len(text), *range(12), max(len(text) - 1, 0)}:
                    for ids in (text[:size], text[:size].astype(np.int64)):
                        front, rest = splicer.parts(ids)
                        whole = splicer(ids).whole(ids)
                        assert [*front.tolist(), *rest.tolist()] == whole.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cut_within_a_word_says_nothing_of_texts_that_begin_so(stores, kind):
    """A piece may end in the middle of a character, which cut anew is another."""
    tokenizer = stores[0][kind].tokenizer()
    splicer = Composer(POLICIES["meco"], tokenizer).splicers(True, False)[1]
    whole = np.array(tokenizer.encode(" " + "\u4f60" * 6 + " day"), np.int32)
    for size in (*range(2, 12), len(whole)):
        ids = whole[:size]
        assert np.concatenate(splicer.parts(ids)).tolist() == splicer(ids).whole(ids).tolist()


@pytest.mark.parametrize("name", ["meco", "localization"])
def test_nobody_may_write_to_blocks_which_documents_share(stores, name):
    store = stores[0]["llama_3"]
    composer = Composer(POLICIES[name], store.tokenizer())
    block = composer.prefix_ids(store.split("train").record(1))
    assert len(block) and not block.flags.writeable
    assert not len(composer.prefix_ids(None))


@pytest.fixture(scope="module")
def older(stores, tmp_path_factory):
    """By kind, the stores without first words: none of their shards has them, or only the last."""
    made = {}
    for kind, store in stores[0].items():
        folder = tmp_path_factory.mktemp("older")
        made[kind] = (
            without_first_words(store, folder / "all"),
            without_first_words(store, folder / "some", slice(2)),
        )
    return made


def test_what_is_not_said_of_a_document_is_that_it_has_metadata_and_no_title(stores):
    """Of a vocabulary that begins a document otherwise than what stands behind a blank line."""
    store = stores[0]["dummy_prefix"]
    told, behind, bare = (
        Composer(POLICIES[name], store.tokenizer()) for name in ("localization", "appended", "meco")
    )
    ids = {
        opened: (told.title_label(opened).tolist(), told.content_label(opened).tolist())
        for opened in (True, False)
    }
    assert ids[True][0] != ids[False][0] and ids[True][1] != ids[False][1]
    assert told.title_label().tolist() == ids[True][0]
    assert told.content_label().tolist() == ids[True][1]
    assert told.content_label(False, True).tolist() == ids[True][1]
    # Metadata behind the text stand before nothing of it.
    assert behind.title_label(True).tolist() == behind.title_label(False).tolist() == ids[False][0]
    assert behind.content_label(True).tolist() == behind.content_label(False).tolist()
    assert behind.content_label(True, True).tolist() == ids[True][1]
    text = store.split("train").texts(1)
    first, second = (bare.texts(*text, opened)[0].tolist() for opened in (True, False))
    assert first != second and bare.texts(*text)[0].tolist() == first


@pytest.mark.parametrize("kind", ["llama_3", "dummy_prefix"])
@pytest.mark.parametrize("name", ["localization", "mixed", "meco", "appended", "meta-tokens"])
@pytest.mark.parametrize("packing", ["best fit", "concat, bare"])
def test_what_is_selected_of_a_text_is_selected_in_all_its_fragments(
    stores, tmp_path, kind, name, packing
):
    """Bits drawn at random; of first words that are cut anew, all where one of the old was."""
    store, policy = stores[0][kind], (POLICIES | META)[name]
    rng = np.random.default_rng(8)
    rows = dataset(store, policy, packing, 64)
    split, composing = rows.split, rows.composing
    bits = [
        [rng.random(len(ids)) < 0.5 for ids in split.texts(number)] for number in range(len(split))
    ]
    write_selection(tmp_path, map(np.concatenate, bits), "train", store.hash, {})
    selection = TokenSelection(tmp_path, split)
    for fragment in (each for sample in range(len(rows)) for each in rows.fragments(sample)):
        kinds = composing.compose(fragment).kinds[1:]
        shown = fields_of(policy, fragment.kept) if not is_plain(policy, fragment.kept) else ()
        told = (
            len(composing.composer_of(fragment).prefix_ids(split.record(fragment.document), shown))
            > 0
        )
        title, body = bits[fragment.document]
        composer = composing.composer_of(fragment)
        if composer.reads_texts:
            both = composer.splice(*split.texts(fragment.document), told)
            title, body = (
                np.concatenate(
                    [
                        np.full(len(cut.front), of[: cut.start].any() or not cut.start),
                        of[cut.start : cut.stop],
                        np.full(len(cut.back), of[cut.stop :].any() or cut.stop == len(of)),
                    ]
                )
                for cut, of in zip(both, (title, body), strict=True)
            )
        if fragment.bare:
            whole = composing.compose(
                fragment._replace(bare=False, start=0, stop=len(body), title=len(title), final=True)
            )
            expected = np.ones(len(whole.kinds), bool)
            expected[whole.kinds == Kind.TITLE] = title
            expected[whole.kinds == Kind.BODY] = body
            expected = expected[fragment.start + 1 : fragment.stop + 1]
        else:
            expected = np.ones(len(kinds), bool)
            expected[kinds == Kind.TITLE] = title[: fragment.title]
            expected[kinds == Kind.BODY] = body[fragment.start : fragment.stop]
        assert composing.selected(fragment, selection).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_fragments_composed_together_are_those_that_are_composed_alone(
    stores, older, kind, monkeypatch
):
    monkeypatch.setattr("geo_nemo.data.composing.CACHED", 3)
    policies = POLICIES | META
    cases = [(stores[0][kind], name, "best fit") for name in policies]
    cases += [(stores[0][kind], name, "concat, bare") for name in ("meco", "localization", "mixed")]
    cases += [(store, "meco", "best fit") for store in older[kind]]
    for store, name, packing in cases:
        rows = dataset(store, policies[name], packing, 64)
        sequences = [rows.fragments(sample) for sample in range(len(rows))]
        # And titles that are cut, of a document that ends where they do.
        whole = [each for each in sequences[0] if each.title > 2 and not each.bare]
        sequences.append([each._replace(title=n) for each in whole for n in (1, 2)])
        alone = [rows.composing.compose(each) for sequence in sequences for each in sequence]
        for _ in ("met first", "kept"):
            found = rows.composing.parts(sequences)
            assert found.firsts == [fragment.first for fragment in alone], name
            for place, fragment in enumerate(alone):
                *parts, padding = found.parts[place * found.width : (place + 1) * found.width]
                together = Composed(fragment.first, parts, fragment.first_kind)
                assert np.array_equal(together.ids, fragment.ids), (name, packing, place)
                assert np.array_equal(together.kinds, fragment.kinds)
                assert not len(padding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packing", PACKINGS)
def test_a_store_without_first_words_has_the_same_sequences(stores, older, kind, packing):
    expected = dataset(stores[0][kind], POLICIES["meco"], packing, 96)
    for store in older[kind]:
        found = dataset(store, POLICIES["meco"], packing, 96)
        assert len(found) == len(expected)
        for number in range(len(expected)):
            assert found[number].tokens.tolist() == expected[number].tokens.tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["meco", "own", "appended", "meco appended"])
@pytest.mark.parametrize("form", ["numbered", "older", "mixed"])
def test_texts_are_counted_together_as_they_are_spliced_alone(
    stores, older, kind, name, form, monkeypatch
):
    store, policy = stores[0][kind], POLICIES[name]
    if form != "numbered":
        store = older[kind][form == "mixed"]
    split = store.split("train")
    composer = Composer(policy, store.tokenizer())
    lengths = TextLengths(composer, split)
    rng = np.random.default_rng(7)
    documents = rng.permutation(np.tile(np.arange(len(split)), 2))
    opened = rng.random(len(documents)) < 0.5
    expected = [
        [len(part) for part in composer.splice(*split.texts(document), bool(told))]
        for document, told in zip(documents, opened, strict=True)
    ]
    alone = []
    splice = composer.splice
    monkeypatch.setattr(composer, "splice", lambda *given: alone.append(given) or splice(*given))
    for _ in range(2):  # words that were met, too
        assert np.stack(lengths(documents, opened), axis=1).tolist() == expected
    # Texts of one word, or whose first takes more tokens than are looked at, and no others.
    assert len(alone) < 2 * len(documents)
