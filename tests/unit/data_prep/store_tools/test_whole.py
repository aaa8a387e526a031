"""Composed ids equal those of the whole text, whatever the policy, the vocabulary and the text."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_prep.store_tools.whole import WholeText
from geo_nemo.config import MetadataPolicy
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from tests.unit.data_prep.store_tools.worlds import KINDS

NAMES = {"url": "URL", "country": "COUNTRY", "continent": "CONTINENT"}
# What texts end and start with decides whether a seam holds.
PHRASES = st.sampled_from([
    "The day", " ", "\n", "\n\n", ".", "!", "?\"", "it's", " 25%", "\u2014", "caf\u00e9", "\t",
    "\u4f60\u597d", "/", ")", "...", "</s>", "<|end_of_text|>", "URL:", " TITLE: ", "CONTENT:",
    "\u00a0", "\r\n", "word", " word", "\U0001f600", "e\u0301", "\u2581", ":",
])  # fmt: skip
TEXTS = st.lists(PHRASES, max_size=12).map("".join) | st.text(max_size=60)
POLICIES = st.builds(
    lambda fields, form, position: MetadataPolicy(
        fields=tuple(fields), url_form=form, position=position, mask_loss=position == "prepend"
    ),
    st.lists(st.sampled_from(list(NAMES)), unique=True, max_size=3),
    st.sampled_from(["host", "path", "full"]),
    st.sampled_from(["prepend", "append"]),
)
PATHS = st.sampled_from(["", "/", "/news/", "/a/b.html", "/x?q=1", "/%C3%A9/", "/a.", "/a-)"])


def whole_text(policy, record, title, body) -> str:
    """The document as text, written down anew: not by the code that is tested."""
    url = {
        "host": record.host,
        "path": record.host + record.path,
        "full": f"{record.scheme}://{record.host}{record.path}",
    }[policy.url_form]
    values = {"url": url, "country": record.country, "continent": record.continent}
    block = "\n".join(f"{NAMES[field]}: {values[field]}" for field in policy.fields)
    text = (f"TITLE: {title}\n\n" if title else "") + f"CONTENT: {body}"
    if not block:
        return text
    return f"{text}\n\n{block}" if policy.position == "append" else f"{block}\n\n{text}"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(policy=POLICIES, title=TEXTS, body=TEXTS, path=PATHS)
@example(MetadataPolicy(fields=("url",), position="append", mask_loss=False), "", "It ends.", "/")
@example(MetadataPolicy(fields=("url", "country"), url_form="path"), "A title!", "Text", "/a/")
@example(MetadataPolicy(), "A title", "", "")
def test_ids_equal_those_of_the_whole_text(tokenizers, kind, policy, title, body, path):
    tokenizer = tokenizers[kind]
    record = MetadataRecord("www.bbc.co.uk", "gb", "Europe", path, "http")
    title_ids = np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.uint16)
    body_ids = np.array(tokenizer.encode(f" {body}"), np.uint16)
    composed = WholeText(policy, tokenizer).ids(record, title_ids, body_ids)
    text = whole_text(policy, record, title, body)
    assert composed.tolist() == [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
    assert composed.dtype == np.int32


@pytest.mark.parametrize(
    ("policy", "title", "body"),
    [
        (MetadataPolicy(fields=("url",), position="append", mask_loss=False), "", "It ends."),
        (MetadataPolicy(fields=("url", "country"), url_form="path"), "", "Text"),
    ],
)
def test_parts_tokenised_apart_miss_merges_that_the_whole_text_has(tokenizers, policy, title, body):
    """Without this, the property above would hold for parts that are merely joined."""
    tokenizer = tokenizers["llama_3"]
    record = MetadataRecord("www.bbc.co.uk", "gb", "Europe", "/news/")
    body_ids = np.array(tokenizer.encode(f" {body}"))
    apart = Composer(policy, tokenizer).compose(record, [], body_ids).ids
    assert (
        apart.tolist() != WholeText(policy, tokenizer).ids(record, body_ids[:0], body_ids).tolist()
    )


def test_gpt_2_titles_are_mended_and_llama_3_titles_need_it_not(tokenizers):
    title = {k: np.array(t.encode(" A title\n\n")) for k, t in tokenizers.items()}
    body = {k: np.array(t.encode(" x")) for k, t in tokenizers.items()}
    record = MetadataRecord("a.uk", "gb", "Europe")
    none = MetadataPolicy(fields=())

    def same(kind):
        apart = Composer(none, tokenizers[kind]).compose(record, title[kind], body[kind]).ids
        whole = WholeText(none, tokenizers[kind]).ids(record, title[kind], body[kind])
        return apart.tolist() == whole.tolist()

    assert [same(kind) for kind in KINDS] == [True, True, False]


def test_check_tells_a_document_that_its_parts_cannot_give(tokenizers):
    tokenizer = tokenizers["llama_3"]
    whole = WholeText(MetadataPolicy(), tokenizer)
    record = MetadataRecord("a.uk", "gb", "Europe")
    body = np.array(tokenizer.encode(" The day"))
    assert whole.check(record, body[:0], body)
    # The same text in single bytes: no tokenizer gives these ids for it.
    bytewise = np.array([tokenizer.encode(c)[0] for c in "The"])
    assert not whole.check(record, body[:0], bytewise)
