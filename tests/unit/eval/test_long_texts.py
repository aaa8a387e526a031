"""Texts that are longer than a model takes: cut or left out, counted, and named."""

import json

import numpy as np
import pytest

from eval.conditions import view
from eval.config import EvalConfig
from eval.documents import shown_texts
from eval.fitting import LONGEST_WORD, fitting
from eval.plan import make_plan
from eval.questions import _encoded, _framed
from eval.runner import evaluate
from eval.scorers.load import load
from geo_nemo.config import UserError
from tests.unit.eval import hub
from tests.unit.eval.test_questions import question, write

LENGTH = 256  # positions of the models of `hub`


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A token a byte, and a table of 256 positions: one more is an error of its own."""
    folder = tmp_path_factory.mktemp("long") / "gpt2"
    hub.save_byte_tokenizer(folder)
    hub.save_gpt2(folder, 259)
    return folder


def config_of(tmp_path, gpt2, documents, **settings) -> EvalConfig:
    hub.save_corpus(tmp_path / "corpus.parquet", documents)
    return EvalConfig(
        runs={"m": str(gpt2)}, corpus=str(tmp_path / "corpus.parquet"), device="cpu",
        output=str(tmp_path / "out"), bootstrap_samples=100, conditions=("with", "plain"),
        **settings,
    )  # fmt: skip


DOCUMENTS = [
    ("gb", "news.gb", "short", "word " * 4),
    ("ke", "news.ke", "long", "word " * 400),
    ("ie", "news.ie", "title " * 100, "never reached"),
]


def test_documents_are_cut_to_the_model_and_the_cut_ones_are_counted(tmp_path, gpt2):
    config = config_of(tmp_path, gpt2, DOCUMENTS)
    result = evaluate(config, lambda model: load(model, config))
    assert (result["documents"]["scored"], result["documents"]["cut"]) == (3, 2)
    with np.load(tmp_path / "out" / "documents.npz") as found:
        sizes = found["title_tokens"] + found["body_tokens"]
        assert found["whole"].tolist() == [True, False, False]
        assert np.isfinite(found["body"]).all() and np.isfinite(found["title"]).all()
    # BOS, metadata and labels take the rest of the 256 positions; the last label none.
    head = [len(f"URL: news.{c}\nCOUNTRY: {c}\nCONTINENT: {k}\n\nTITLE:CONTENT:") + 1
            for c, k in (("ke", "Africa"), ("ie", "Europe"))]  # fmt: skip
    for size, before in zip(sizes[1:], head, strict=True):
        # Cut at the space before what does not fit, and EOS is kept room for.
        assert LENGTH - len("title ") - 2 <= size + before <= LENGTH + 1


def test_questions_that_do_not_fit_are_left_out_and_counted(tmp_path, gpt2):
    items = [question(0), question(1, prompt="why " * 80), question(2)]
    path = write(tmp_path / "q.jsonl", items)
    config = config_of(tmp_path, gpt2, DOCUMENTS, questions=str(path))
    plan = make_plan(config)
    assert [q.id for q in plan.questions.questions] == [items[0]["id"], items[2]["id"]]
    assert plan.questions.skipped == {"longer than the sequence": 1}


@pytest.mark.parametrize("shots", [0, 4])
def test_when_nothing_fits_the_whole_is_one_line(tmp_path, gpt2, shots):
    prompt = "why " * (20 if shots else 80)
    items = [question(n, prompt=f"{prompt}{n}") for n in range(12)]
    path = write(tmp_path / "q.jsonl", items)
    config = config_of(tmp_path, gpt2, DOCUMENTS, questions=str(path), questions_shots=shots,
                       questions_dev=0.6 if shots else 0.0)  # fmt: skip
    with pytest.raises(UserError, match=r"no question of .* fits in 256 tokens with its metadata"):
        make_plan(config)
    assert not (tmp_path / "out").exists()


def test_a_model_that_promises_more_positions_than_it_has_is_named(tmp_path, gpt2):
    import shutil

    broken = shutil.copytree(gpt2, tmp_path / "broken")
    settings = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(settings | {"n_positions": 4096}))
    config = config_of(tmp_path, broken, DOCUMENTS)
    with pytest.raises(UserError, match=r"runs\.m=.*broken: weights transformer\.wpe\.weight are "):
        evaluate(config, lambda model: load(model, config))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A model whose tokenizer has more tokens of a text's first word where no space is before it;
    its texts, of which most are too long.
    """
    folder = tmp_path_factory.mktemp("long") / "words"
    vocabulary = ["rain", "falls", "mainly", "on", "the", "plain", "towns", "that"]
    hub.save_other_tokenizer(folder, [" ".join(vocabulary)] * 20)
    hub.save_gpt2(folder, 400)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(vocabulary, size)) for size in rng.integers(150, 400, 12)]
    return folder, [("gb", "news.gb", "towns that", text) for text in texts]


def test_bytes_are_those_of_the_text_that_is_scored_also_where_bare_text_is_longer(tmp_path, words):
    folder, documents = words
    plan = make_plan(config_of(tmp_path, folder, documents))
    found, decode = plan.documents, plan.tokenizers["m"].decode
    assert (~found.whole).sum() > 6
    for place, index in enumerate(found.index.tolist()):
        ids = plan.tokens["m"].body(index)
        # What was cut at a space is not cut again at a token.
        assert len(ids) == found.body_tokens[place]
        text = decode(ids.tolist()).strip()
        assert len(text.encode()) == found.body_bytes[place]
        rest = documents[index][3].removeprefix(text)
        assert rest[:1] in ("", " ") and len(rest) < len(documents[index][3])
        for composer, record_of in (
            (view(c, plan.composers["m"]), plan.shown.record_of(c, plan.composers["m"]))
            for c in plan.config.conditions
        ):
            shown = shown_texts(plan.tokens["m"], found, place, composer)
            composed = composer.join(
                composer.prefix_ids(record_of(index)), *shown, bool(found.whole[place])
            )
            assert len(composed.ids) - 1 <= LENGTH


@pytest.mark.parametrize("condition", ["as_gb", "invented_host", "other_url"])
def test_questions_fit_behind_whatever_a_condition_tells(tmp_path, gpt2, condition):
    """Metadata that is longer than any question's own: of a country, a host, or both together."""
    told = {
        "as_gb": [{"country": None, "host": None}],
        "invented_host": [{"country": "gb", "host": "a.gb"}],
        "other_url": [
            {"country": "jm", "continent": "America", "host": "a"},
            {"country": "cn", "continent": "Asia", "host": "a" * 30},
        ],
    }
    changes = told[condition]
    items = [question(n, prompt="w" * n, **changes[n % len(changes)]) for n in range(150, 256)]
    path = write(tmp_path / "q.jsonl", items)
    config = config_of(tmp_path, gpt2, DOCUMENTS, questions=str(path))
    config = config.model_copy(update={"conditions": ("without", condition)})
    plan = make_plan(config)
    composer = view(condition, plan.composers["m"])
    record_of = plan.questions_shown.record_of(condition, composer)
    ids = _encoded(plan.questions, plan.form, composer.tokenizer)
    sizes = [
        len(item.ids) - 1
        for place, (asked, order) in enumerate(
            zip(plan.questions.questions, plan.questions.orders, strict=True)
        )
        for item, _ in _framed(asked, order, composer, record_of(place), plan.form, ids)
    ]
    assert max(sizes) == LENGTH, "as many as fit, and no more"


@pytest.mark.parametrize(
    ("text", "left", "cut"),
    [
        # A word is not cut, and what stands behind the last space that fits is left out.
        ("rain falls mainly", 12, "rain falls"), ("rain falls mainly", 10, "rain falls"),
        ("rain falls mainly", 9, "rain"), ("raining", 4, "rain"),
        # Writing without spaces has as much as fits, wherever there is one.
        ("\u65b0 " + "\u805e" * 500, 100, "\u65b0 " + "\u805e" * 98),
        ("\u805e" * 20 + " " + "\u805e" * 500, 50, "\u805e" * 20),
        ("a " + "b" * (LONGEST_WORD + 9), LONGEST_WORD + 2, "a"),
        ("a " + "b" * (LONGEST_WORD + 9), LONGEST_WORD + 3, "a " + "b" * (LONGEST_WORD + 1)),
    ],
)  # fmt: skip
def test_a_body_is_cut_at_a_space_where_words_have_any(text, left, cut):
    class Characters:
        def encode(self, given):
            return [ord(letter) for letter in given.strip()]

    assert fitting("", text, Characters(), lambda title, body: left) == ("", cut)
