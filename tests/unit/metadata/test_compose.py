"""Composed documents: tokens, kinds and the equality with whole-text tokenisation."""

import numpy as np
import pytest

from geo_nemo.config import MetadataPolicy
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import Kind, MetadataRecord
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data.fakes import WordTokenizer

RECORD = MetadataRecord("bbc.co.uk", "gb", "Europe", "/news/a-b?x=1")
ALL = ("url", "country", "continent")
CORPUS = [
    f"URL: www.{name}.co.{cc}\nCOUNTRY: {cc}\nCONTINENT: {continent}\n\nTITLE: {name} says, again!"
    f"\n\nCONTENT: The {name} of the day; it's 25% more ({i}).\nSecond line \u2014 caf\u00e9."
    for i, (name, cc, continent) in enumerate(
        [("bbc", "gb", "Europe"), ("dawn", "pk", "Asia"), ("punch", "ng", "Africa")] * 20
    )
]


def text_of(tokenizer: WordTokenizer, composed) -> list[str]:
    return tokenizer.pieces(composed.ids)


def test_golden_document_with_all_parts():
    tokenizer = WordTokenizer()
    composer = Composer(MetadataPolicy(), tokenizer)
    composed = composer.compose(
        RECORD, tokenizer.encode(" Big news\n\n"), tokenizer.encode(" It rains.")
    )
    assert text_of(tokenizer, composed) == [
        *["<s>", "URL:", " bbc.co.uk", "\n", "COUNTRY:", " gb", "\n", "CONTINENT:", " Europe"],
        *["\n", "\n", "TITLE:", " Big", " news", "\n", "\n", "CONTENT:", " It", " rains.", "</s>"],
    ]
    assert composed.kinds.tolist() == [1, *[2] * 10, 3, 4, 4, 4, 4, 3, 5, 5, 6]
    assert composed.ids.dtype == np.int32
    assert composed.kinds.dtype == np.uint8


@pytest.mark.parametrize("record", [None, RECORD])
def test_no_record_or_no_field_gives_no_metadata_and_no_separator(record):
    tokenizer = WordTokenizer()
    composer = Composer(MetadataPolicy(), tokenizer)
    composed = composer.compose(record, [], tokenizer.encode(" It rains."), fields=())
    assert text_of(tokenizer, composed) == ["<s>", "CONTENT:", " It", " rains.", "</s>"]
    assert composed.kinds.tolist() == [Kind.BOS, Kind.LABEL, Kind.BODY, Kind.BODY, Kind.EOS]


def test_fragment_that_is_not_final_has_no_eos():
    tokenizer = WordTokenizer()
    composer = Composer(MetadataPolicy(fields=("country",)), tokenizer)
    composed = composer.compose(RECORD, [], tokenizer.encode(" It"), final=False)
    assert text_of(tokenizer, composed) == (
        ["<s>", "COUNTRY:", " gb", "\n", "\n", "CONTENT:", " It"]
    )


def test_appended_metadata_stands_between_body_and_eos_and_only_at_the_end_of_the_body():
    tokenizer = WordTokenizer()
    policy = MetadataPolicy(fields=("url", "country"), position="append", mask_loss=False)
    composer = Composer(policy, tokenizer)
    body = tokenizer.encode(" It")
    composed = composer.compose(RECORD, [], body)
    assert text_of(tokenizer, composed) == [
        *["<s>", "CONTENT:", " It", "\n", "\n", "URL:", " bbc.co.uk", "\n", "COUNTRY:", " gb"],
        "</s>",
    ]
    assert composed.kinds.tolist() == [1, 3, 5, *[2] * 7, 6]
    piece = composer.compose(RECORD, [], body, final=False)
    assert text_of(tokenizer, piece) == ["<s>", "CONTENT:", " It"]


@pytest.mark.parametrize(
    ("fields", "kept", "text"),
    [
        (ALL, None, "URL: bbc.co.uk\nCOUNTRY: gb\nCONTINENT: Europe\n\n"),
        (ALL, ("continent", "country"), "COUNTRY: gb\nCONTINENT: Europe\n\n"),
        (("continent", "url"), None, "CONTINENT: Europe\nURL: bbc.co.uk\n\n"),
        (("continent", "url"), ("url",), "URL: bbc.co.uk\n\n"),
    ],
)
def test_prefix_keeps_the_order_of_the_policy(fields, kept, text):
    tokenizer = WordTokenizer()
    composer = Composer(MetadataPolicy(fields=fields), tokenizer)
    assert tokenizer.decode(composer.prefix_ids(RECORD, kept)) == text


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("host", "URL: bbc.co.uk\n\n"),
        ("path", "URL: bbc.co.uk/news/a-b?x=1\n\n"),
        ("full", "URL: https://bbc.co.uk/news/a-b?x=1\n\n"),
    ],
)
def test_url_forms(form, line):
    tokenizer = WordTokenizer()
    composer = Composer(MetadataPolicy(fields=("url",), url_form=form), tokenizer)
    assert tokenizer.decode(composer.prefix_ids(RECORD)) == line


def test_a_field_outside_the_policy_is_refused():
    composer = Composer(MetadataPolicy(fields=("url",)), WordTokenizer())
    with pytest.raises(ValueError, match="country"):
        composer.prefix_ids(RECORD, ["country"])


def test_a_value_is_tokenised_once():
    tokenizer = WordTokenizer()
    calls: list[str] = []
    encode = tokenizer.encode
    tokenizer.encode = lambda text: calls.append(text) or encode(text)
    composer = Composer(MetadataPolicy(), tokenizer)
    calls.clear()
    for host in ("bbc.co.uk", "itv.com", "bbc.co.uk"):
        composer.prefix_ids(MetadataRecord(host, "gb", "Europe", "/x"))
    assert calls == ["URL: bbc.co.uk", "\nCOUNTRY: gb", "\nCONTINENT: Europe", "URL: itv.com"]


@pytest.fixture(scope="module")
def sentencepiece_tokenizer(tmp_path_factory):
    import sentencepiece

    folder = tmp_path_factory.mktemp("sentencepiece")
    symbols = ["\n", "URL:", "COUNTRY:", "CONTINENT:", "TITLE:", "CONTENT:"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        user_defined_symbols=symbols,
        num_threads=1,
        minloglevel=2,
    )
    return load_tokenizer(folder / "tokenizer.model")


@pytest.fixture(scope="module")
def huggingface_tokenizer(tmp_path_factory):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    # The pattern of Llama-3's vocabulary.
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|begin_of_text|>", "<|end_of_text|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    path = tmp_path_factory.mktemp("huggingface") / "tokenizer.json"
    tokenizer.save(str(path))
    return load_tokenizer(path)


@pytest.fixture(params=["sentencepiece", "huggingface"])
def real_tokenizer(request):
    return request.getfixturevalue(f"{request.param}_tokenizer")


@pytest.mark.parametrize("fields", [("url", "country", "continent"), ("country",), ()])
@pytest.mark.parametrize("title", ["", "Is it caf\u00e9? 25%!", "Plain words"])
def test_composed_tokens_equal_those_of_the_whole_text(real_tokenizer, fields, title):
    body = "It's 3,000 (or more).\n\nNew paragraph \u2014 \u4f60\u597d </s> <|end_of_text|> end\n"
    names = {"url": "URL: bbc.co.uk", "country": "COUNTRY: gb", "continent": "CONTINENT: Europe"}
    head = "\n".join(names[field] for field in fields) + ("\n\n" if fields else "")
    text = head + (f"TITLE: {title}\n\n" if title else "") + f"CONTENT: {body}"

    composer = Composer(MetadataPolicy(fields=fields), real_tokenizer)
    title_ids = real_tokenizer.encode(f" {title}\n\n") if title else []
    composed = composer.compose(RECORD, title_ids, real_tokenizer.encode(f" {body}"))

    whole = [real_tokenizer.bos_id, *real_tokenizer.encode(text), real_tokenizer.eos_id]
    assert composed.ids.tolist() == whole
    assert real_tokenizer.decode(composed.ids[1:-1]) == text
    kept = composed.ids[composed.kinds == Kind.METADATA]
    assert real_tokenizer.decode(kept) == head


@pytest.mark.parametrize("policy", [{}, {"position": "append", "mask_loss": False}])
def test_every_piece_of_a_document_has_its_tokens_and_their_kinds(policy):
    composer = Composer(MetadataPolicy(**policy), WordTokenizer())
    record = MetadataRecord("bbc.co.uk", "gb", "Europe")
    for title in ([], [501, 502]):
        whole = composer.compose(record, title, [601, 602, 603])
        for start in range(len(whole.ids)):
            for stop in range(start + 1, len(whole.ids) + 1):
                piece = whole.cut(start, stop)
                assert piece.ids.tolist() == whole.ids[start:stop].tolist()
                assert piece.kinds.tolist() == whole.kinds[start:stop].tolist()


@pytest.mark.parametrize("position", ["prepend", "append"])
@pytest.mark.parametrize(("final", "count"), [(True, 2), (False, 2), (True, 1)])
def test_meta_tokens_stand_behind_bos_wherever_the_metadata_stand(position, final, count):
    tokenizer = WordTokenizer()
    tokenizer.vocab_size = 1000
    weights = {"metadata": 0.5} if position == "append" else {}
    policy = MetadataPolicy(
        fields=("country",), meta_tokens=count, position=position, loss_weights=weights
    )
    composer = Composer(policy, tokenizer)
    assert composer.meta_ids.tolist() == [1000, 1001][:count]
    composed = composer.compose(
        RECORD, tokenizer.encode(" News\n\n"), tokenizer.encode(" It"), final=final
    )
    plain = Composer(policy.model_copy(update={"meta_tokens": 0}), tokenizer).compose(
        RECORD, tokenizer.encode(" News\n\n"), tokenizer.encode(" It"), final=final
    )
    ids, kinds = composed.ids.tolist(), composed.kinds.tolist()
    assert ids[1 : 1 + count] == [1000, 1001][:count]
    # Where metadata stand in the loss, behind the text, they are labels, which are out of it.
    assert set(kinds[1 : 1 + count]) == {Kind.METADATA if position == "prepend" else Kind.LABEL}
    assert ids[:1] + ids[1 + count :] == plain.ids.tolist()
    assert kinds[:1] + kinds[1 + count :] == plain.kinds.tolist()
