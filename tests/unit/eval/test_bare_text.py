"""The condition `plain` scores bare text in the tokens that a stage of plain text trains on."""

import numpy as np
import pytest

from eval.conditions import view
from eval.documents import scored_spans, scored_texts, shown_texts
from eval.perplexity import score_documents
from eval.scored import _check_same_tokens
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.compose import Composer
from tests.support.vocabularies import KINDS, make_tokenizers

TEXTS = [("Rail fares rise", "The price of a ticket rose."), ("", "No title here, \u4f60\u597d."),
         ("\u00c9tat", "caf\u00e9 au lait " * 20), ("It's 25%", "(so) it is")]  # fmt: skip


class Split:
    """Texts as a store keeps them."""

    name = "test"

    def __init__(self, tokenizer):
        self._texts = [
            (np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.int32),
             np.array(tokenizer.encode(f" {body}"), np.int32))
            for title, body in TEXTS
        ]  # fmt: skip

    def title(self, index):
        return self._texts[index][0]

    def body(self, index):
        return self._texts[index][1]


class Uniform:
    """Every token costs a nat; keeps the rows that it was asked."""

    def __init__(self):
        self.rows = []

    def nll(self, row):
        self.rows.append(row)
        return np.ones(len(row.labels))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    return make_tokenizers(tmp_path_factory.mktemp("vocabularies"))


def documents_of(split, composer, max_tokens, seq_length=512):
    shown = [(composer, lambda _: None), (view("plain", composer), lambda _: None)]
    countries = np.zeros(len(TEXTS), np.int64)
    return scored_spans(split, countries, np.arange(len(TEXTS)), shown, seq_length, max_tokens)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", ["localization", "meco"])
def test_its_tokens_are_those_of_the_whole_bare_text(tokenizers, kind, template):
    tokenizer = tokenizers[kind]
    split = Split(tokenizer)
    composer = Composer(MetadataPolicy(template=template, cut="whole"), tokenizer)
    documents, scorer = documents_of(split, composer, None), Uniform()
    plain = view("plain", composer)
    scores = score_documents(scorer, split, documents, plain, lambda _: None, packed_length=512,
                             run="a", condition="plain")  # fmt: skip
    found = {}
    for row in scorer.rows:
        for segment in range(row.segment_ids.max() + 1):
            here = row.segment_ids == segment
            ids = [int(row.tokens[here][0]), *row.labels[here].tolist()]
            found[tokenizer.decode(ids[1:-1]).strip(" ")] = ids
    for place, (title, body) in enumerate(TEXTS):
        text = (f"{title}\n\n" if title else "") + body
        expected = [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
        assert expected in found.values(), text
        assert scores.title[place] + scores.body[place] == len(expected) - 2


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_cut_where_the_other_arms_are(tokenizers, kind):
    tokenizer = tokenizers[kind]
    split = Split(tokenizer)
    composer = Composer(MetadataPolicy(cut="whole"), tokenizer)
    plain = view("plain", composer)
    differing = 0
    for max_tokens in range(1, 30):
        documents = documents_of(split, composer, max_tokens)
        for place in range(len(documents)):
            index = int(documents.index[place])
            pairs = zip(shown_texts(split, documents, place, plain),
                        shown_texts(split, documents, place, composer), strict=True)  # fmt: skip
            for own, other in pairs:
                one, two = (tokenizer.decode(ids.tolist()).lstrip(" ") for ids in (own, other))
                assert one == two, (max_tokens, index)
                differing += not np.array_equal(own, other)
            title, body = scored_texts(split, index, plain)
            assert documents.title_tokens[place] <= len(title)
            assert documents.body_tokens[place] <= len(body)
    # Only where no vocabulary of these spells a space in front of a word are all the same.
    assert differing > 0 or kind == "dummy_prefix"


def test_bare_text_that_is_longer_fits_a_row(tokenizers):
    """Of a vocabulary where a word without its space is more tokens than with it."""
    tokenizer = tokenizers["gpt_2"]
    split = Split(tokenizer)
    composer = Composer(MetadataPolicy(fields=(), cut="whole"), tokenizer)
    plain = view("plain", composer)
    for seq_length in range(12, 40):
        documents = documents_of(split, composer, None, seq_length)
        for place in range(len(documents)):
            title, body = shown_texts(split, documents, place, plain)
            composed = plain.join(plain.prefix_ids(None), title, body, True)
            assert len(composed.ids) - 1 <= seq_length


def test_policies_that_cut_words_otherwise_are_refused_where_the_tokens_differ(tokenizers):
    """Else the second run would be found to score other tokens once the first is scored."""
    policies = {
        "parts": MetadataPolicy(), "whole": MetadataPolicy(cut="whole"),
        "behind": MetadataPolicy(cut="whole", position="append", mask_loss=False),
    }  # fmt: skip
    words = {
        ("parts", "whole"): "metadata.cut=whole and runs.parts with parts",
        ("whole", "behind"): "metadata.position=append and runs.whole with prepend",
    }
    found = set()
    for kind in KINDS:
        composers = {name: Composer(of, tokenizers[kind]) for name, of in policies.items()}
        split = Split(tokenizers[kind])
        for pair, said in words.items():
            both = [
                [scored_texts(split, n, composers[name]) for n in range(len(TEXTS))]
                for name in pair
            ]
            differ = any(
                not np.array_equal(one, other)
                for texts in zip(*both, strict=True)
                for one, other in zip(*texts, strict=True)
            )
            ids, chosen = {tokenizers[kind].sha256: split}, np.arange(len(TEXTS))
            runs = {name: composers[name] for name in pair}
            if differ:
                with pytest.raises(UserError, match=f"runs.{pair[1]} was trained with {said}"):
                    _check_same_tokens(runs, ids, chosen)
            else:
                _check_same_tokens(runs, ids, chosen)
            found.add((pair, differ))
    assert found >= {(pair, True) for pair in words} and (("parts", "whole"), False) in found
