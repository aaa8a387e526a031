"""Under every template, composed ids are those of the whole text, before it and behind it."""

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geo_nemo.config import MetadataPolicy
from geo_nemo.config.template import Template
from geo_nemo.metadata.blocks import OPEN
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import Kind, MetadataRecord
from tests.support.vocabularies import KINDS, make_tokenizers

OWN = Template(
    line="<{label}={value}>", between="\n", after="\n--\n", title="# {title}\n\n",
    body="Text: {body}",
)  # fmt: skip
TEMPLATES = {"localization": "localization", "meco": "meco", "plain": "plain", "own": OWN}
NAMES = {"url": "URL", "country": "COUNTRY", "year": "YEAR", "theme": "THEME"}
# Texts as preparation leaves them begin and end with what is no space.
INNER = st.sampled_from([
    "The day", " ", "\n", "\n\n", ".", "!", "?\"", "it's", " 25%", "\u2014", "caf\u00e9", "\t",
    "\u4f60\u597d", "/", ")", "...", "</s>", "<|end_of_text|>", "URL:", " TITLE: ", "CONTENT:",
    "word", " word", "\U0001f600", ":", " Rail fares", "s",
])  # fmt: skip
ENDS = st.sampled_from([
    "The", "A", "it's", "7", "25", "\"The", "\u201cQuoted", "(a", "caf\u00e9", "\u4f60\u597d", "x.",
    "end.", "yes!", "\u2014 so", "#1", "\u00e9t\u00e9", "O'Neill", "U.S.", "</s>", "...",
])  # fmt: skip
TEXTS = st.builds(
    lambda first, inner, last: first + "".join(inner) + last,
    ENDS,
    st.lists(INNER, max_size=8),
    ENDS,
)
POLICIES = st.builds(
    lambda fields, form, template, position: MetadataPolicy(
        fields=tuple(fields),
        url_form=form if "url" in fields else "host",
        template=template,
        position=position,
        mask_loss=position == "prepend",
        cut="whole",
    ),
    st.lists(st.sampled_from(list(NAMES)), unique=True, max_size=4),
    st.sampled_from(["host", "path", "full"]),
    st.sampled_from(list(TEMPLATES.values())),
    st.sampled_from(["prepend", "append"]),
)
PATHS = st.sampled_from(["", "/", "/news/", "/a/b.html", "/x?q=1", "/%C3%A9/", "/a.", "/a-)"])


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    return make_tokenizers(tmp_path_factory.mktemp("vocabularies"))


def whole_text(policy, record, title, body) -> str:
    """The document as text, written down anew: not by the code that is tested."""
    url = {
        "host": record.host,
        "path": record.host + record.path,
        "full": f"{record.scheme}://{record.host}{record.path}",
    }[policy.url_form]
    values = {
        "url": url, "country": record.country, "year": str(record.year),
        "theme": record.extra.get("theme"),
    }  # fmt: skip
    pairs = [(NAMES[field], values[field]) for field in policy.fields]
    labels = {"localization": ("TITLE: ", "CONTENT: ")}.get(policy.template, ("", ""))
    line, between, after = "{}: {}", "\n", "\n\n"
    if policy.template == OWN:
        line, after, labels = "<{}={}>", "\n--\n", ("# ", "Text: ")
    block = between.join(line.format(name, value) for name, value in pairs)
    text = (f"{labels[0]}{title}\n\n" if title else "") + labels[1] + body
    if not pairs:
        return text
    return text + after + block if policy.position == "append" else block + after + text


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200)
@given(policy=POLICIES, title=st.just("") | TEXTS, body=TEXTS, path=PATHS, theme=ENDS)
@example(
    MetadataPolicy(fields=("url",), url_form="path", template="meco"), "", "The day", "/a/", "x"
)
@example(MetadataPolicy(fields=(), template="plain"), "A title!", "The day", "/", "x")
@example(MetadataPolicy(fields=(), template="plain"), "One", "Two", "/", "x")
def test_ids_equal_those_of_the_whole_text(tokenizers, kind, policy, title, body, path, theme):
    tokenizer = tokenizers[kind]
    record = MetadataRecord(
        "www.bbc.co.uk", "gb", "Europe", path, "http", 2021, extra={"theme": theme}
    )
    title_ids = np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.uint16)
    body_ids = np.array(tokenizer.encode(f" {body}"), np.uint16)
    composer = Composer(policy, tokenizer)
    composed = composer.compose(record, title_ids, body_ids)
    text = whole_text(policy, record, title, body)
    assert composed.ids.tolist() == [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
    head = f"{title}\n\n" if title else ""
    assert composer.whole_text(record, head, body) == text
    untold = whole_text(policy.model_copy(update={"fields": ()}), record, title, body)
    assert composer.whole_text(None, head, body) == untold
    if policy.template in ("meco", "plain"):
        assert Kind.LABEL not in composed.kinds


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(
    space=st.sampled_from([" ", "  ", "\n", "\n\n", "\t", "\u00a0", " \n "]), body=TEXTS,
    title=st.just("") | TEXTS, fields=st.sampled_from([(), ("url",)]),
)  # fmt: skip
def test_a_body_that_begins_with_white_space_is_whole_behind_a_label(
    tokenizers, kind, space, body, title, fields
):
    tokenizer = tokenizers[kind]
    policy = MetadataPolicy(fields=fields, cut="whole")
    record = MetadataRecord("www.bbc.co.uk", "gb", "Europe", extra={"theme": ""})
    title_ids = np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.uint16)
    body_ids = np.array(tokenizer.encode(f" {space}{body}"), np.uint16)
    composed = Composer(policy, tokenizer).compose(record, title_ids, body_ids)
    text = whole_text(policy, record, title, space + body)
    assert composed.ids.tolist() == [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(policy=POLICIES, path=PATHS, theme=ENDS)
def test_lengths_of_lines_add_up_to_those_of_their_block(tokenizers, kind, policy, path, theme):
    """A block is joined of the very lines that are counted, or counted as a whole."""
    record = MetadataRecord("bbc.co.uk", "gb", "Europe", path, "http", 2021, extra={"theme": theme})
    composer = Composer(policy, tokenizers[kind])
    texts = composer.block_texts(record)
    counts = [composer.line_lengths([text], n == 0)[0] for n, text in enumerate(texts)]
    if texts and OPEN not in counts:
        block = composer.prefix_ids(record)
        assert sum(counts) + len(composer.separator) == len(block)


@pytest.mark.parametrize("kind", KINDS)
def test_meco_is_its_url_line_a_blank_line_and_the_bare_text(tokenizers, kind):
    """By hand, from MeCo's description (arXiv 2501.01956): `URL: en.wikipedia.org\n\n[text]`."""
    tokenizer = tokenizers[kind]
    composer = Composer(MetadataPolicy(fields=("url",), template="meco"), tokenizer)
    record = MetadataRecord("en.wikipedia.org", "us", "America", "/wiki/X")
    body = np.array(tokenizer.encode(" The price of rail fares rises."))
    composed = composer.compose(record, [], body)
    text = "URL: en.wikipedia.org\n\nThe price of rail fares rises."
    assert composed.ids[1:-1].tolist() == tokenizer.encode(text)
    masked = np.isin(composed.kinds[1:], [Kind.METADATA, Kind.LABEL])
    shown = tokenizer.decode(composed.ids[1:][masked].tolist())
    assert shown.strip() == "URL: en.wikipedia.org"
    assert set(composed.kinds.tolist()) == {Kind.BOS, Kind.METADATA, Kind.BODY, Kind.EOS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", ["localization", "meco"])
@pytest.mark.parametrize("body", ["\u4f60\u597d", "caf\u00e9", "U.S.", "x", "Fares", "The \u4f60"])
def test_a_body_of_one_word_is_whole_before_lines_that_follow_it(tokenizers, kind, template, body):
    tokenizer = tokenizers[kind]
    policy = MetadataPolicy(
        fields=("url",), template=template, position="append", mask_loss=False, cut="whole"
    )
    record = MetadataRecord("www.bbc.co.uk", "gb", "Europe", extra={"theme": ""})
    ids = np.array(tokenizer.encode(f" {body}"), np.uint16)
    composed = Composer(policy, tokenizer).compose(record, [], ids)
    text = whole_text(policy, record, "", body)
    assert composed.ids.tolist() == [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]


class Joining:
    """A token a character, but of one with the line end behind it; no vocabulary in use is so."""

    bos_id, eos_id, pad_id, vocab_size = 1, 2, 0, 1 << 31

    def encode(self, text: str) -> list[int]:
        found = re.findall(r"[^\n]\n?|\n", text)
        return [10 + 2 * ord(piece[0]) + (len(piece) > 1) for piece in found]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids) -> str:
        return "".join(self.pieces([i for i in ids if i >= 10]))

    def pieces(self, ids) -> list[str]:
        return [chr((i - 10) // 2) + "\n" * (i % 2) for i in map(int, ids)]


@pytest.mark.parametrize("position", ["prepend", "append"])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("title", ["", "A fare"])
def test_lines_that_a_vocabulary_joins_are_tokenised_together(position, template, title):
    tokenizer = Joining()
    policy = MetadataPolicy(
        fields=("url", "country"), template=TEMPLATES[template], position=position, cut="whole",
        mask_loss=position == "prepend",
    )  # fmt: skip
    record = MetadataRecord("bbc.co.uk", "gb", "Europe")
    composer = Composer(policy, tokenizer)
    title_ids = np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.int64)
    composed = composer.compose(record, title_ids, np.array(tokenizer.encode(" The day")))
    text = whole_text(policy, record, title, "The day")
    assert composed.ids.tolist() == [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
    lines = composer.block_texts(record)
    assert len(lines) == 2
    assert [composer.line_lengths([line], n == 0) for n, line in enumerate(lines)] == [[OPEN]] * 2


def test_most_of_a_body_is_the_stored_ids(tokenizers):
    """Only the first word is tokenised anew, so that a loader reads and does not tokenise."""
    tokenizer = tokenizers["llama_3"]
    composer = Composer(MetadataPolicy(template="meco"), tokenizer)
    body = np.array(tokenizer.encode(" The price of rail fares rises in the town."))
    title, cut = composer.splice(np.empty(0, np.int32), body, opened=True)
    assert len(title) == 0 and cut.stop == len(body) and len(cut.front) <= 3 and cut.start <= 3
    assert np.shares_memory(cut.take(body, len(cut.front), len(cut)), body)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"body": "no place"}, r"body 'no place' must end with \{body\}"),
        ({"body": "{body} behind"}, r"must end with \{body\}"),
        ({"title": "{title}\n"}, "and a blank line"),
        ({"line": "{label}:\n{value}"}, "is one line with"),
        ({"line": "{label}"}, "is one line with"),
        ({"after": " | "}, "must end in a line end"),
        ({"body": "<body>{body}"}, "must end in one space or a line end"),
        ({"bodi": "x"}, "Extra inputs"),
    ],
)
def test_a_template_that_cannot_be_cut_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        MetadataPolicy(template=settings)


def test_a_line_end_may_be_written_as_on_a_command_line():
    written = {"title": r"# {title}\n\n", "after": r"\n--\n"}
    assert MetadataPolicy(template=written).text.title == "# {title}\n\n"
    assert MetadataPolicy(template=written).text.after == "\n--\n"


def test_a_template_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="template mecco: there is localization, meco, plain"):
        MetadataPolicy(template="mecco")


def test_the_first_template_leaves_the_hash_and_others_change_it():
    assert MetadataPolicy(template="localization").hash() == MetadataPolicy().hash()
    hashes = {MetadataPolicy(template=each).hash() for each in ("meco", "plain", OWN)}
    assert len(hashes) == 3 and MetadataPolicy().hash() not in hashes


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_is_a_line_of_its_own_stands_before_any_text(tokenizers, kind):
    tokenizer = tokenizers[kind]
    template = Template(title="Title:\n\n{title}\n\n", body="Text:\n\n{body}")
    record = MetadataRecord("bbc.co.uk", year=1999)
    for fields in ((), ("year",)):
        composer = Composer(MetadataPolicy(fields=fields, template=template), tokenizer)
        for title, body in product(("", "The day", "7"), ("It's so.", "25% of it", "(so) it is")):
            text = "YEAR: 1999\n\n" if fields else ""
            text += (f"Title:\n\n{title}\n\n" if title else "") + f"Text:\n\n{body}"
            title_ids = tokenizer.encode(f" {title}\n\n") if title else []
            found = composer.compose(record, title_ids, tokenizer.encode(f" {body}"))
            assert found.ids.tolist() == [
                tokenizer.bos_id,
                *tokenizer.encode(text),
                tokenizer.eos_id,
            ]
