"""Every built-in field, fields of the user's own and up to 64 of them, under every template.

Random stores of real text; what each sequence should show is written down from the documents alone.
"""

import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_nemo.config import Data, MetadataPolicy
from geo_nemo.config.template import Template
from geo_nemo.data.audit.check import audit_stage
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.validation import validation_sequences
from geo_nemo.metadata.fields import FIELDS
from geo_nemo.store import TokenStore
from tests.unit.data_prep.store_tools import worlds
from tests.unit.data_prep.store_tools.worlds import Text

OWN = Template(line="<{label}={value}>", after="\n--\n", title="# {title}\n\n", body="Text: {body}")
TEMPLATES = {
    "localization": ("TITLE: {}\n\n", "CONTENT: {}"),
    "meco": ("{}\n\n", "{}"),
    "plain": ("{}\n\n", "{}"),
    OWN: ("# {}\n\n", "Text: {}"),
}
KINDS = {"license": "category", "author": "text", "tags": "category", "topic": "category"}
MANY = tuple(f"f{number:02d}" for number in range(51))
ALL = (*FIELDS, "license", "author", "tags", *MANY)
PLACES = [("a.co.uk", "gb", "Europe"), ("b.com", "us", "America"), ("b.com", "ke", "Africa")]
BANDS = {"low": 0, "fair": 40, "high": 70}
# Each form, from the document as the test has it.
VALUES = {
    ("url", "host"): lambda t: t.host,
    ("url", "path"): lambda t: t.host + t.path,
    ("url", "full"): lambda t: f"https://{t.host}{t.path}",
    ("host", "plain"): lambda t: t.host,
    ("country", "plain"): lambda t: t.country,
    ("continent", "plain"): lambda t: worlds.CONTINENTS[t.country],
    ("year", "plain"): lambda t: str(t.year) if t.year else None,
    ("date", "day"): lambda t: t.fields.get("date"),
    ("date", "month"): lambda t: t.fields.get("date", "")[:7] or None,
    ("date", "year"): lambda t: str(t.year) if t.year else None,
    ("date", "decade"): lambda t: f"{str(t.year)[:3]}0s" if t.year else None,
    ("language", "plain"): lambda t: t.fields.get("language"),
    ("source", "plain"): lambda t: t.source,
    ("quality", "fine"): lambda t: str(t.quality),
    ("quality", "coarse"): lambda t: "low" if t.quality < 40 else "fair" if t.quality < 70
    else "high",
    ("topic", "plain"): lambda t: t.fields.get("topic"),
}  # fmt: skip


def text_of(number: int) -> Text:
    """A document of which about a third of the fields are missing."""

    def draw(name: str, most: int) -> int:
        digest = hashlib.blake2b(f"{number}/{name}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little") % most

    host, country, _ = PLACES[draw("place", 3)]
    year = (0, 1999, 2021)[draw("year", 3)]
    own = {
        "date": f"{year or 2020}-0{1 + draw('month', 9)}-15",
        "language": ("en", "sw")[draw("l", 2)],
        "topic": ("sport", "rail & road.", "a/b/")[draw("topic", 3)],
        "license": ("CC-BY 4.0", "none!")[draw("license", 2)], "author": f"Writer {number}.",
        "tags": ("x", "y.", "z")[: 1 + draw("tags", 3)],
    } | {name: f"{name} {draw(name, 4)}{'.' * draw(name + '.', 2)}" for name in MANY}  # fmt: skip
    missing = {name for name in own if draw(f"no {name}", 3) == 0}
    words = ["says", "the", "day", "it's", "25%", "fares.", "again"]
    body = " ".join(words[draw(f"w{i}", 7)] for i in range(3 + draw("size", 30)))
    return Text(
        f"The {body} {number}", title=f"Title {number}" if draw("titled", 3) else "",
        country=country, host=host, path=("/a/", "/b?c=1", f"/{number}")[draw("path", 3)],
        year=year,
        quality=draw("quality", 101), source=("now", "web")[draw("source", 2)],
        fields={name: value for name, value in own.items() if name not in missing},
    )  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    texts = {
        "train": [text_of(n) for n in range(60)],
        "test": [text_of(n) for n in range(900, 930)],
    }
    made = {}
    for kind in ("llama_3", "gpt_2"):
        (folder / kind).mkdir()
        tokenizer = worlds.write_tokenizer(folder / kind, kind)
        root = worlds.write_store(folder / kind / "store", tokenizer, texts, 25, kinds=KINDS)
        made[kind] = TokenStore.open(root)
    return made, texts


def shown(text: Text, policy: MetadataPolicy, kept: int) -> list[tuple[str, str]]:
    """Label and value of each line that the document has and dropout kept."""
    found = []
    for place, name in enumerate(policy.fields):
        form = policy.url_form if name == "url" else policy.forms.get(name)
        form = form or (next(iter(FIELDS[name].forms)) if name in FIELDS else "plain")
        value = text.fields.get(name)
        if (name, form) in VALUES:
            value = VALUES[name, form](text)
        if isinstance(value, tuple):
            value = ", ".join(value)
        if value is not None and kept >> place & 1:
            found.append((name.upper(), value))
    return found


def whole_text(text: Text, policy: MetadataPolicy, kept: int) -> str:
    title, body = TEMPLATES[policy.template]
    own = policy.template == OWN
    lines = [f"<{a}={b}>" if own else f"{a}: {b}" for a, b in shown(text, policy, kept)]
    block = "\n".join(lines) + ("\n--\n" if own else "\n\n") if lines else ""
    return block + (title.format(text.title) if text.title else "") + body.format(text.body)


forms = st.fixed_dictionaries(
    {},
    optional={
        "url": st.sampled_from(["host", "path", "full"]),
        "date": st.sampled_from(["day", "month", "year", "decade"]),
        "quality": st.sampled_from(["fine", "coarse"]),
    },
)


@pytest.mark.parametrize("kind", ["llama_3", "gpt_2"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(st.sampled_from(ALL), unique=True, max_size=64)
    | st.permutations(ALL) | st.permutations(ALL[:9]),
    template=st.sampled_from(list(TEMPLATES)), chosen=forms,
    dropped=st.lists(st.sampled_from(ALL), max_size=8), probability=st.sampled_from([0.0, 0.4]),
)  # fmt: skip
def test_each_sequence_shows_its_documents_own_values_and_no_others(
    world, kind, fields, template, chosen, dropped, probability
):
    made, texts = world
    policy = MetadataPolicy(
        fields=tuple(fields), forms={n: form for n, form in chosen.items() if n in fields},
        quality_bands=BANDS, template=template, cut="whole", dropout=probability / 2,
        field_dropout={name: probability for name in dropped if name in fields},
    )  # fmt: skip
    split, tokenizer = made[kind].split("train"), made[kind].tokenizer()
    data = Data(store="unused", seq_length=8192, packing_window=16)
    sequences = StageDataset(split, data, policy, tokenizer, np.arange(len(split)), 3)
    assert sequences.planner.dtype["kept"].itemsize == (
        1 if len(fields) <= 8 else 4 if len(fields) <= 32 else 8
    )
    everything = (1 << len(fields)) - 1
    always = sum(1 << i for i, name in enumerate(fields) if not policy.field_dropout.get(name))
    seen = 0
    for number in range(len(sequences)):
        sequence = sequences[number]
        for place, fragment in enumerate(sequences.fragments(number)):
            span = slice(sequence.cu_seqlens[place], sequence.cu_seqlens[place + 1])
            ids = [*sequence.tokens[span].tolist(), int(sequence.labels[span][-1])]
            text = whole_text(texts["train"][fragment.document], policy, fragment.kept)
            assert ids == [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
            # Dropout drops what it says: nothing, fields that it names, or all of a document.
            assert fragment.kept & always == always or (policy.dropout and fragment.kept == 0)
            assert probability or fragment.kept == everything
            seen += 1
    assert seen == 60


def test_a_field_is_dropped_as_often_as_it_says(world):
    """Of 64 fields the first, one in the middle and the last, over many epochs."""
    store = world[0]["llama_3"]
    policy = MetadataPolicy(
        fields=ALL, field_dropout={"url": 0.5, "f10": 0.25, "f50": 0.9}, cut="whole"
    )
    split = store.split("train")
    data = Data(store="unused", seq_length=4096, packing_window=64)
    sequences = StageDataset(
        split, data, policy, store.tokenizer(), np.arange(len(split)), 3, num_samples=400
    )
    kept = np.array([f.kept for n in range(400) for f in sequences.fragments(n)], np.uint64)
    assert len(kept) > 1500
    for place, name in enumerate(ALL):
        fraction = float((kept >> np.uint64(place) & np.uint64(1)).mean())
        assert fraction == pytest.approx(1 - policy.field_dropout.get(name, 0.0), abs=0.05)


@pytest.mark.parametrize("number", [8, 9, 33, 64])
def test_the_audit_holds_for_so_many_fields(world, number):
    store = world[0]["gpt_2"]
    policy = MetadataPolicy(
        fields=ALL[:number], cut="whole", quality_bands=BANDS,
        field_dropout={ALL[0]: 0.5, ALL[number - 1]: 0.5},
    )  # fmt: skip
    split = store.split("train")
    data = Data(store="unused", seq_length=2048, packing_window=16)
    sequences = StageDataset(split, data, policy, store.tokenizer(), np.arange(len(split)), 3)
    assert audit_stage(sequences).broken == {}


def test_values_that_no_training_document_has_are_shown_in_a_validation(world):
    made, texts = world
    store = made["llama_3"]
    policy = MetadataPolicy(fields=("author", "topic", "url"), url_form="path", cut="whole")
    split, tokenizer = store.split("test"), store.tokenizer()
    trained = {text.fields.get("author") for text in texts["train"]}
    sequences = validation_sequences(split, np.arange(30), policy, tokenizer, 4096, 1)
    composed = [
        [*sequence.tokens[a:b].tolist(), int(sequence.labels[b - 1])]
        for sequence in sequences["with"]
        for a, b in zip(
            sequence.cu_seqlens[:-1].tolist(), sequence.cu_seqlens[1:].tolist(), strict=True
        )
        if sequence.group_ids[a] >= 0
    ]
    unseen = 0
    for ids, text in zip(composed, texts["test"], strict=True):
        whole = whole_text(text, policy, 0b111)
        assert ids == [tokenizer.bos_id, *tokenizer.encode(whole), tokenizer.eos_id]
        unseen += text.fields.get("author") not in trained
    assert unseen >= 10
