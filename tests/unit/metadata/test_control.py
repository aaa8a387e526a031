"""Control tokens in a template are these tokens, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.template import Template
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from tests.support.vocabularies import KINDS, make_tokenizers
from tests.unit.metadata.test_seams import ENDS, PATHS, TEXTS

# E stands for a control token of the vocabulary; a title and a body as the template writes them.
SHAPES = {
    "before each part": ("E{label}: {value}", "\n", "E\n\n", "E{title}\n\n", "E{body}"),
    "before labels": ("{label}={value}E", "\n", "\n\n", "E Title: {title}\n\n", "E Text: {body}"),
    "of lines alone": ("E{label}: {value}", "\n", "E\n", "{title}\n\n", "{body}"),
    "around all": ("E {value}", "E\n", "E\n\n", "E# {title}\n\n", "E\n{body}"),
}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    return make_tokenizers(tmp_path_factory.mktemp("vocabularies"))


def template_of(shape, name) -> Template:
    parts = [part.replace("E", name) for part in SHAPES[shape]]
    return Template(
        **dict(zip(("line", "between", "after", "title", "body"), parts, strict=True)),
        control=(name,),
    )


def expected(tokenizer, name, shape, values, title, body, append) -> list[int]:
    """Stretches between the template's own control tokens, each tokenised by itself."""
    line, between, after, titled, bodied = SHAPES[shape]
    # "\0" is in no text, so that only the template's marks part it.
    lines = [line.replace("E", "\0").format(label=label, value=value) for label, value in values]
    block = between.replace("E", "\0").join(lines)
    text = titled.replace("E", "\0").format(title=title) if title else ""
    text += bodied.replace("E", "\0").format(body=body)
    if block:
        after = after.replace("E", "\0")
        text = text + after + block if append else block + after + text
    ids: list[int] = []
    for number, stretch in enumerate(text.split("\0")):
        ids += [tokenizer.eos_id] if number else []
        ids += tokenizer.encode(stretch)
    return [tokenizer.bos_id, *ids, tokenizer.eos_id]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(
    title=st.just("") | TEXTS, body=TEXTS, path=PATHS, theme=ENDS, append=st.booleans(),
    fields=st.sampled_from([(), ("url",), ("theme",), ("url", "theme")]),
)  # fmt: skip
def test_ids_are_those_of_the_stretches_between(
    tokenizers, kind, shape, title, body, path, theme, append, fields
):
    tokenizer = tokenizers[kind]
    name = tokenizer.pieces([tokenizer.eos_id])[0]
    # Values and texts that spell the token keep its letters.
    theme, body = f"{theme}{name}x", f"{body} {name} so"
    policy = MetadataPolicy(
        fields=fields, url_form="path" if "url" in fields else "host",
        template=template_of(shape, name), position="append" if append else "prepend",
        mask_loss=not append,
    )  # fmt: skip
    record = MetadataRecord("bbc.co.uk", path=path, extra={"theme": theme})
    values = [("URL", f"bbc.co.uk{path}"), ("THEME", theme)]
    values = [pair for pair in values if pair[0].lower() in fields]
    title_ids = np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.uint16)
    body_ids = np.array(tokenizer.encode(f" {body}"), np.uint16)
    composed = Composer(policy, tokenizer).compose(record, title_ids, body_ids)
    wanted = expected(tokenizer, name, shape, values, title, body, append)
    assert composed.ids.tolist() == wanted


def test_a_mark_inside_a_value_or_a_text_is_no_control_token(tokenizers):
    tokenizer = tokenizers["llama_3"]
    name = tokenizer.pieces([tokenizer.eos_id])[0]
    policy = MetadataPolicy(fields=("theme",), template=template_of("before each part", name))
    record = MetadataRecord(extra={"theme": "a\ufdd0b"})
    body = np.array(tokenizer.encode(" \ufdd0 so it is"))
    composed = Composer(policy, tokenizer).compose(record, [], body)
    assert composed.ids.tolist().count(tokenizer.eos_id) == 4  # line, after, body, the end


def test_the_whole_text_shows_a_control_token_by_its_name(tokenizers):
    tokenizer = tokenizers["llama_3"]
    name = tokenizer.pieces([tokenizer.eos_id])[0]
    template = Template(
        line="{label}={value}" + name, title=name + "{title}\n\n", body=name + "{body}",
        control=(name,),
    )  # fmt: skip
    composer = Composer(MetadataPolicy(fields=("year",), template=template), tokenizer)
    text = composer.whole_text(MetadataRecord(year=1999), "", "so it is")
    assert text == f"YEAR=1999{name}\n\n{name}so it is"


def test_a_token_that_the_vocabulary_has_not_is_named(tokenizers):
    for name in ("<|meta|>", "the"):
        policy = MetadataPolicy(template=template_of("before each part", name))
        with pytest.raises(UserError, match=r"template\.control: .* is no control token of the"):
            Composer(policy, tokenizers["llama_3"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"control": ["<x>"]}, "which no text of the template holds"),
        ({"control": [" "]}, "is empty or a part of another"),
        ({"control": ["<x>", "<x>>"], "title": "<x>>{title}\n\n"}, "a part of another"),
        ({"control": ["<x>"], "body": "<x>{body}"}, "both begin with a control token, or neither"),
    ],
)
def test_control_tokens_that_cannot_be(given, said):
    with pytest.raises(ValueError, match=said):
        Template.model_validate(given)


def test_a_template_without_control_tokens_keeps_its_hash():
    own = {"title": "# {title}\n\n", "body": "{body}"}
    dumped = MetadataPolicy(template=own).canonical()["template"]
    assert "control" not in dumped
    marked = {**own, "title": "<x>{title}\n\n", "body": "<x>{body}", "control": ["<x>"]}
    assert MetadataPolicy(template=marked).canonical()["template"]["control"] == ["<x>"]
