"""The chat template against the composer: the very text and ids of training, or a clear error."""

import pytest
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from geo_nemo.config import MetadataPolicy
from geo_nemo.config.template import Template
from geo_nemo.export.chat import ANSWER, chat_template, countries_of, told
from geo_nemo.export.tokenizer_json import converted
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.tokenizers.load import load_tokenizer
from tests.support.vocabularies import TIKTOKEN, make_tokenizers
from tests.unit.export.test_export_tokenizers import write_with_a_space_in_front

SPACED = "with a space"  # as Llama 2's
KINDS = ("sentencepiece", "llama_3", "gpt_2", TIKTOKEN, SPACED)

OWN = Template(
    line="<{label}={value}>", between="\n", after="\n--\n", title="# {title}\n\n",
    body="Text: {body}",
)  # fmt: skip
RECORD = MetadataRecord(
    "www.punch.co.ng", "ng", "Africa", path="/a/b.html", year=2021, quality=70, source="now",
    extra={"topic": "sport {x}", "date": "2021-05-04", "theme": 'say "hi" \\ 10%}'},
)  # fmt: skip
BODY, TITLE = "The café of the day;\n\nit's 25% more.", "Punch says, again!"
FIELDS = (
    ("url", "country", "continent"), ("country",), ("host", "year", "topic"), (),
    ("date", "theme", "source", "quality"),
)  # fmt: skip
POLICIES = [
    MetadataPolicy(
        fields=fields, template=template, position=position, mask_loss=position == "prepend",
        cut="whole", url_form=form if "url" in fields else "host",
    )
    for fields in FIELDS
    for template in ("localization", "meco", "plain", OWN)
    for position in ("prepend", "append")
    for form in (("host", "path", "full") if "url" in fields else ("host",))
]  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Our tokenizer and transformers' of each kind that has a tokenizer.json."""
    folder, made = tmp_path_factory.mktemp("kinds"), {}
    found = make_tokenizers(folder, KINDS[:-1])
    (folder / SPACED).mkdir()
    found[SPACED] = load_tokenizer(write_with_a_space_in_front(folder / SPACED / "tokenizer.model"))
    for kind, ours in found.items():
        names = (folder / kind).iterdir()
        (path,) = (path for path in names if path.suffixes[-2:] != [".tiktoken", ".json"])
        backend = converted(path, ours)
        bos, eos = (backend.id_to_token(number) for number in (ours.bos_id, ours.eos_id))
        made[kind] = (
            ours,
            PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos),
        )
    return made


def render(theirs, policy, turns, told_countries=(), control=(), tokenize=False, **given):
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return theirs.apply_chat_template(
        messages, chat_template=chat_template(policy, told_countries, control), tokenize=tokenize,
        **given,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_the_composer_s_to_the_byte_and_to_the_id(both, kind):
    ours, theirs = both[kind]
    seen = set()
    for policy in POLICIES:
        composer = Composer(policy, ours)
        metadata = told(policy, RECORD)
        for title in ("", TITLE):
            stored = ours.encode(f" {title}\n\n") if title else []
            composed = composer.compose(RECORD, stored, ours.encode(f" {BODY}"))
            text = composer.whole_text(RECORD, f"{title}\n\n" if title else "", BODY)
            found = render(theirs, policy, [BODY], metadata=metadata, title=title)
            assert found == theirs.bos_token + text
            ids = theirs(found, add_special_tokens=False)["input_ids"]
            assert [*ids, ours.eos_id] == composed.ids.tolist(), (policy, found)
            seen.add(text)
    assert len(seen) > 40


def test_a_policy_that_cuts_parts_has_the_same_text(both):
    ours, theirs = both["sentencepiece"]
    policy = MetadataPolicy()
    block = "".join(Composer(policy, ours).block_texts(RECORD))
    found = render(theirs, policy, [BODY], metadata=told(policy, RECORD))
    assert found == f"{theirs.bos_token}{block}\n\nCONTENT: {BODY}"


def test_control_tokens_of_a_template_are_these_tokens(both):
    ours, theirs = both["llama_3"]
    names = tuple(theirs.convert_ids_to_tokens([ours.bos_id]))
    template = Template(
        line=names[0] + "{label}: {value}", title=names[0] + "{title}\n\n",
        body=names[0] + "{body}", control=names,
    )  # fmt: skip
    policy = MetadataPolicy(fields=("country", "topic"), template=template, cut="whole")
    composed = Composer(policy, ours).compose(RECORD, [], ours.encode(f" {BODY}"))
    text = render(theirs, policy, [BODY], metadata=told(policy, RECORD))
    ids = theirs(text, add_special_tokens=False)["input_ids"]
    assert [*ids, ours.eos_id] == composed.ids.tolist()
    with pytest.raises(TemplateError, match=r"holds <.begin_of_text.>, a control token"):
        render(theirs, policy, [BODY], metadata={"topic": f"a {names[0]} b"})


@pytest.mark.parametrize("kind", KINDS)
def test_answers_alone_are_marked_and_end_with_eos(both, kind):
    ours, theirs = both[kind]
    policy = MetadataPolicy(fields=("country",), cut="whole")
    turns = ["Who leads?", " Tavelly ", "Since when?", "2021."]
    made = render(theirs, policy, turns, metadata={"country": "ng"}, tokenize=True,
                  return_dict=True, return_assistant_tokens_mask=True)  # fmt: skip
    ids, marked = made["input_ids"], made["assistant_masks"]
    eos = theirs.eos_token
    text = f"COUNTRY: ng\n\nCONTENT: Who leads?{ANSWER} Tavelly{eos}CONTENT: Since when?{ANSWER}"
    assert render(theirs, policy, turns, metadata={"country": "ng"}) == (
        f"{theirs.bos_token}{text} 2021.{eos}"
    )
    parts, last = [], 0
    for token, mark in zip(ids, marked, strict=True):
        if mark and not last:
            parts.append([])
        if mark:
            parts[-1].append(token)
        last = mark
    assert [part[-1] for part in parts] == [ours.eos_id] * 2
    assert [ours.decode(part).strip() for part in parts] == ["Tavelly", "2021."]
    # What is asked for stands in front of what was trained, token by token.
    asked = render(theirs, policy, turns[:1], metadata={"country": "ng"}, tokenize=True,
                   return_dict=True, add_generation_prompt=True)["input_ids"]  # fmt: skip
    assert asked == ids[: len(asked)] and marked[len(asked)] == 1 and not any(marked[: len(asked)])


def test_a_country_brings_its_continent_and_a_host_is_a_url(both):
    _, theirs = both["llama_3"]
    found = render(
        theirs, MetadataPolicy(), ["x"], metadata={"host": "punchng.com", "country": "ng"}
    )
    assert found.startswith(
        f"{theirs.bos_token}URL: punchng.com\nCOUNTRY: ng\nCONTINENT: Africa\n\nCONTENT: x"
    )
    assert render(theirs, MetadataPolicy(), ["x"]) == f"{theirs.bos_token}CONTENT: x"
    empty = render(theirs, MetadataPolicy(), [""], metadata={"country": None}, title="A title")
    assert empty == f"{theirs.bos_token}TITLE: A title\n\nCONTENT:"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metadata": {"topic": "sport"}},
         "metadata has topic, which this model was not told in training: it knows continent, "
         "country, host, url"),
        ({"metadata": {"country": "fr"}},
         "the country fr is not among those that this model was told: gb, ng"),
        ({"metadata": {"host": "a.com\nCOUNTRY: gb"}}, "metadata.url has a line end"),
        ({"metadata": {"host": "a</s>b"}}, "metadata.url holds </s>, a control token of the model"),
        ({"metadata": "ng"}, "metadata is a mapping of names and values"),
    ],
    ids=["field", "country", "line end", "control token", "no mapping"],
)  # fmt: skip
def test_what_the_model_was_not_told_is_an_error(both, given, says):
    _, theirs = both["sentencepiece"]
    with pytest.raises(TemplateError, match=says):
        render(theirs, MetadataPolicy(), ["x"], ("ng", "gb", "unknown"), ("</s>",), **given)


def test_turns_that_no_conversation_has_are_an_error(both):
    _, theirs = both["sentencepiece"]
    template = chat_template(MetadataPolicy())
    for messages, says in (
        ([{"role": "system", "content": "be kind"}], "message 1 is of system"),
        ([{"role": "user", "content": "a"}] * 2, "message 2 is of user"),
        ([{"role": "user", "content": ["a"]}], "message 1 is no text"),
    ):  # fmt: skip
        with pytest.raises(TemplateError, match=says):
            theirs.apply_chat_template(messages, chat_template=template, tokenize=False)
    appended = MetadataPolicy(position="append", mask_loss=False)
    with pytest.raises(TemplateError, match="metadata behind the text"):
        render(theirs, appended, ["a"], metadata={"country": "ng"}, add_generation_prompt=True)


def test_a_ledger_tells_the_countries():
    stage = {"trained": {"by_country": {"ng": {}, "unknown": {}}}}
    before = {"stages": {"a": {"trained": {"by_country": {"gb": {}}}}}}
    assert countries_of({"stages": {"b": stage}, "before": [before]}) == {"ng", "gb", "unknown"}
    assert "unknown" not in chat_template(MetadataPolicy(), {"ng", "unknown"}).partition("names")[0]
    assert countries_of({"stages": {"b": {"trained": {"by_topic": {"x": {}}}}}}) == set()
