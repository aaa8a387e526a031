"""Tiktoken vocabularies: the same ids as the library, settings beside the file, unusable files."""

import base64
import json

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_nemo.config import UserError
from geo_nemo.tokenizers.load import copy_tokenizer, load_tokenizer
from geo_nemo.tokenizers.tiktoken_settings import _CL100K, KNOWN

PIECES = [bytes([b]) for b in range(256)] + [
    b"th",
    b"the",
    b" the",
    b"ne",
    b"new",
    b"news",
    b"\n\n",
]
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
SPECIAL = {BOS: 300, EOS: 301}


def vocabulary(pieces=PIECES) -> bytes:
    return b"".join(base64.b64encode(p) + b" %d\n" % i for i, p in enumerate(pieces))


def write(folder, content=None, name="own.tiktoken", **given):
    path = folder / name
    path.write_bytes(vocabulary() if content is None else content)
    if given:
        (folder / f"{name}.json").write_text(json.dumps(given))
    return path


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiktoken")
    return load_tokenizer(write(folder, pattern=_CL100K, special_tokens=SPECIAL))


@pytest.fixture(scope="module")
def library():
    ranks = {piece: rank for rank, piece in enumerate(PIECES)}
    return tiktoken.Encoding("own", pat_str=_CL100K, mergeable_ranks=ranks, special_tokens=SPECIAL)


def test_kind_and_ids(tokenizer):
    assert tokenizer.kind == "tiktoken"
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (300, 301, 301)
    assert tokenizer.vocab_size == 302
    assert tokenizer.encode(" the news\n\n") == [258, 32, 261, 262]
    assert tokenizer.pieces([258, 261, 262, 300, 0xC3, 280]) == [
        " the", "news", "\n\n", BOS, "\\xc3", "",
    ]  # fmt: skip


@settings(max_examples=100)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_equal_those_of_the_library_and_decode(tokenizer, library, text):
    ids = tokenizer.encode(text)
    assert ids == library.encode(text, disallowed_special=())
    assert tokenizer.decode([300, *ids, 301]) == text


@settings(max_examples=60)
@given(parts=st.lists(st.sampled_from([BOS, EOS, f"a{EOS}b", f" {BOS}\n"]) | st.text(max_size=4)))
def test_no_text_becomes_a_control_token(tokenizer, parts):
    assert max(tokenizer.encode("".join(parts)), default=0) < 300


def test_batch_equals_one_by_one(tokenizer):
    texts = ["", "the news", "a\ud800b", f"{EOS}{BOS}", "x" * 5000]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_a_published_name_stands_for_pattern_and_special_tokens(tmp_path):
    by_settings = load_tokenizer(_named(tmp_path, "a.tiktoken", "cl100k_base"))
    by_file = load_tokenizer(write(tmp_path, name="cl100k_base.tiktoken"))
    for tokenizer in (by_settings, by_file):
        assert tokenizer.eos_id == tokenizer.bos_id == 100257
        assert tokenizer.vocab_size == 100277
    assert by_settings.sha256 == by_file.sha256


def _named(folder, name, published):
    path = write(folder, name=name)
    path.with_name(f"{name}.json").write_text(json.dumps({"name": published}))
    return path


def test_llama3_has_256_control_tokens_in_their_published_places():
    special = KNOWN["llama3"].special_tokens
    assert sorted(special.values()) == list(range(128_000, 128_256))
    assert (special[BOS], special[EOS], special["<|eot_id|>"]) == (128_000, 128_001, 128_009)
    assert special["<|reserved_special_token_247|>"] == 128_255


NEWER = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k_base": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
}


@pytest.mark.parametrize("name", sorted(NEWER))
def test_patterns_cut_a_text_as_the_forms_do_that_tiktoken_has_since_come_to_use(name):
    text = "It's  I'LL we'd\n\n\n  x\t\r\n 12345 naïve, (don't) Łódź!?\n —  東京 x  "
    cut = []
    for pattern in (KNOWN[name].pattern, NEWER[name]):
        encoding = tiktoken.Encoding(
            "x", pat_str=pattern, mergeable_ranks=_all_pieces(text), special_tokens={}
        )
        cut.append(encoding.encode_ordinary(text))
    assert cut[0] == cut[1]
    assert len(cut[0]) < len(text) / 2


def test_the_pattern_of_o200k_cuts_at_a_change_of_case():
    text = "HelloWorld it's\n/x 1234"
    encoding = tiktoken.Encoding(
        "x",
        pat_str=KNOWN["o200k_base"].pattern,
        mergeable_ranks=_all_pieces(text),
        special_tokens={},
    )
    pieces = [encoding.decode([i]) for i in encoding.encode_ordinary(text)]
    assert pieces == ["Hello", "World", " it's", "\n", "/x", " ", "123", "4"]


def _all_pieces(text):
    """A vocabulary with every short substring of `text`: a piece of a cut becomes one token."""
    content = text.encode()
    found = {bytes([byte]): byte for byte in range(256)}
    for length in range(2, 12):
        for start in range(len(content) - length + 1):
            found.setdefault(content[start : start + length], len(found))
    return found


def test_a_copy_carries_its_settings(tmp_path):
    original = write(tmp_path, name="cl100k_base.tiktoken")
    (tmp_path / "copy").mkdir()
    assert copy_tokenizer(original, tmp_path / "copy") == "tokenizer.tiktoken"
    copy = load_tokenizer(tmp_path / "copy" / "tokenizer.tiktoken")
    assert copy.sha256 == load_tokenizer(original).sha256
    assert copy.eos_id == 100257


def test_other_settings_give_another_hash(tmp_path, tokenizer):
    other = write(tmp_path, pattern=r"\s+|\S+", special_tokens=SPECIAL)
    assert load_tokenizer(other).sha256 != tokenizer.sha256


def test_roles_come_from_the_settings_or_the_arguments(tmp_path):
    special = {"<start>": 300, "<stop>": 301, "<fill>": 302}
    path = write(tmp_path, pattern=_CL100K, special_tokens=special, bos="<start>", eos="<stop>")
    loaded = load_tokenizer(path)
    assert (loaded.bos_id, loaded.eos_id, loaded.pad_id) == (300, 301, 301)
    assert load_tokenizer(path, pad="<fill>").pad_id == 302
    with pytest.raises(UserError, match="no token '<none>' for pad"):
        load_tokenizer(path, pad="<none>")


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        (None, {}, r"own.tiktoken does not say how it splits text: put own.tiktoken.json beside"),
        (None, {"name": "gpt9"}, "'gpt9' is none of gpt2, "),
        (None, {"pattern": ""}, "own.tiktoken.json: pattern: "),
        (None, {"pattern": "(", "special_tokens": SPECIAL}, "its pattern cannot be used"),
        (None, {"pattern": ".", "special_tokens": {"<s>": 5}}, "id 5 is both a piece of text and"),
        (None, {"pattern": ".", "special_tokens": {"<x>": 900}}, "no known BOS or EOS"),
        (None, {"pattern": ".", "special_tokens": {"a": 900, "b": 900}}, "have one id"),
        (None, {"pattern": ".", "special_tokens": SPECIAL, "bos": "x"}, "bos 'x' is not among"),
        (b"not base64\n", {"name": "gpt2"}, "see its line 1"),
        (b"", {"name": "gpt2"}, "lacks single bytes"),
        (vocabulary()[:900], {"name": "gpt2"}, "lacks single bytes|see its line"),
        (b"YQ== 1\nYg== 1\n", {"name": "gpt2"}, "two pieces have one id"),
    ],
)
def test_unusable_files_are_user_errors(tmp_path, content, given, message):
    path = write(tmp_path, content, **{k: v for k, v in given.items() if k != "name"})
    if "name" in given:
        path.with_name(path.name + ".json").write_text(json.dumps(given))
    with pytest.raises(UserError, match=message) as error:
        load_tokenizer(path)
    assert "\n" not in str(error.value)


def test_settings_that_are_not_json(tmp_path):
    path = write(tmp_path)
    path.with_name(path.name + ".json").write_text("{")
    with pytest.raises(UserError, match=r"own\.tiktoken\.json is not JSON"):
        load_tokenizer(path)
