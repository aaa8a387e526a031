"""What a model writes, beside a greedy loop in plain PyTorch; options, files, and mistakes."""

import io
import json
import re

import pytest
import torch

from geo_nemo.config import MetadataPolicy
from geo_nemo.export.loaded import load_model, load_tokenizer, open_folder
from geo_nemo.generate.prompts import Prompt, Tells
from geo_nemo.generate.writer import Options, Writer
from tests.support.command import call
from tests.support.exports import FULL, write_export, write_jsonl

NG, GB = {"country": "ng"}, {"country": "gb"}
TELLS = Tells(FULL)
PROMPTS = [
    Prompt(("the price of",), TELLS(NG, "")),
    Prompt(("rail fares rise in the old town and nobody knows why",), TELLS(GB, "")),
    Prompt(("a",), {}),
]


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    return write_export(tmp_path_factory.mktemp("g") / "model", tiny_store)


@pytest.fixture(scope="module")
def loaded(folder):
    opened = open_folder(str(folder))
    return load_model(opened, "float32", "cpu"), load_tokenizer(opened), opened


def writer(loaded, guidance=1.0, stop=(), chat=True, **settings):
    given = {"do_sample": False, "max_new_tokens": 12, **settings}
    return Writer(*loaded, Options(given, stop, guidance, chat))


@torch.no_grad()
def greedy(model, told, untold=None, scale=1.0, number=12, eos=2):
    """Ids that follow `told`, each the best by untold + scale * (told - untold)."""
    found = []
    for _ in range(number):
        rows = [ids + found for ids in (told, untold) if ids is not None]
        logs = [torch.log_softmax(model(torch.tensor([row])).logits[0, -1], -1) for row in rows]
        score = logs[0] if untold is None else logs[1] + scale * (logs[0] - logs[1])
        found.append(int(score.argmax()))
        if found[-1] == eos:
            return found[:-1]
    return found


def test_the_best_token_each_time_is_that_of_a_plain_loop_also_in_a_batch(loaded):
    made = writer(loaded)
    expected = []
    for prompt in PROMPTS:
        ids = greedy(loaded[0], made.ids(prompt))
        expected.append(loaded[1].decode(ids, skip_special_tokens=True).strip())
    assert [made.write([prompt], 0)[0].text for prompt in PROMPTS] == expected
    assert [each.text for each in made.write(PROMPTS, 0)] == expected
    assert len(set(expected)) == 3


def test_guidance_is_told_against_untold(loaded):
    for scale in (1.5, 3.0, 0.5):
        made = writer(loaded, guidance=scale)
        found = [each.text for each in made.write(PROMPTS[:2], 0)]
        for prompt, text in zip(PROMPTS, found, strict=False):
            ids = greedy(loaded[0], made.ids(prompt), made.ids(prompt, untold=True), scale)
            assert text == loaded[1].decode(ids, skip_special_tokens=True).strip()
    plain = writer(loaded).write(PROMPTS[:2], 0)
    assert found != [each.text for each in plain], "guidance made no difference: nothing is shown"


def test_a_prompt_is_what_training_read_and_a_document_goes_on(loaded):
    made, tokenizer = writer(loaded, chat=False), loaded[1]
    title = Prompt(("The price",), TELLS({"host": "a.com", "country": "ng"}, ""), "Fares")
    assert tokenizer.decode(made.ids(title)) == (
        "<s>URL: a.com\nCOUNTRY: ng\nCONTINENT: Africa\n\nTITLE: Fares\n\nCONTENT: The price"
    )
    asked = writer(loaded).ids(Prompt(("x",), TELLS(NG, "")))
    assert tokenizer.decode(asked).endswith("CONTENT: x\n\nANSWER:")


def test_a_seed_gives_the_same_texts_and_another_others(loaded):
    made = writer(loaded, do_sample=True, temperature=2.0)
    one, again, other = (made.write(PROMPTS[:1], seed)[0].text for seed in (1, 1, 2))
    assert one == again != other


def test_writing_ends_at_a_stop_at_eos_and_at_the_model_s_length(loaded):
    whole = writer(loaded, chat=False).write(PROMPTS[:1], 0)[0]
    assert whole.ended == "length" and whole.tokens == 12
    stop = whole.text[len(whole.text) // 2 :][:2]
    cut = writer(loaded, chat=False, stop=(stop,)).write(PROMPTS[:1], 0)[0]
    assert cut.ended == "stop" and whole.text.startswith(cut.text + stop)
    assert cut.tokens < 12
    forced = writer(loaded, forced_eos_token_id=2, max_new_tokens=3).write(PROMPTS[:1], 0)[0]
    assert (forced.ended, forced.tokens) == ("eos", 2)
    long = Prompt(("the " * 100,), {})
    made = writer(loaded, max_new_tokens=999)
    size = len(made.ids(long))
    assert 60 < size < 128 and made.write([long], 0)[0].tokens <= 128 - size


@pytest.fixture
def generate(monkeypatch, capsys, folder):
    def run(*arguments, typed=None):
        stdin = io.StringIO(typed or "")
        stdin.isatty = lambda: typed is not None
        monkeypatch.setattr("sys.stdin", stdin)
        return call(monkeypatch, capsys, "generate", str(folder), *map(str, arguments))

    return run


def test_countries_stand_side_by_side(generate, loaded):
    code, printed, told = generate("a", "--compare", "ng,gb,none", "--chat", "--max-new-tokens", 6)
    assert code == 0, told
    assert re.search(r"ng\W+gb\W+none", printed) and re.search(r"\d+ tokens in .* tokens/s", told)


def test_a_file_becomes_json_lines(generate, loaded, tmp_path):
    records = [
        {"id": 7, "prompt": "the price of", "metadata": {"country": "ng", "unknown": "x"}},
        {"instruction": "rail", "input": "fares", "answer": "so"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    ]
    path, out = write_jsonl(tmp_path / "p.jsonl", records), tmp_path / "o.jsonl"
    arguments = ("--file", path, "--out", out, "--country", "gb", "--chat", "--samples", 2,
                 "--max-new-tokens", 4, "--batch-size", 2)  # fmt: skip
    code, printed, _ = generate(*arguments)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert code == 0 and printed.strip() == str(out) and len(lines) == 6
    assert [line["prompt"] for line in lines[:2]] == ["the price of", "rail\n\nfares"]
    assert lines[0]["id"] == 7 and lines[0]["told"]["country"] == "ng"
    assert lines[1]["answer"] == "so" and lines[1]["told"]["country"] == "gb"
    assert lines[0]["seed"] != lines[2]["seed"] and all(line["tokens"] <= 4 for line in lines)
    code, _, told = generate(*arguments)
    assert code == 2 and "is there already: remove it" in told
    before = out.read_bytes()
    out.unlink()
    assert generate(*arguments)[0] == 0 and out.read_bytes() == before


def test_it_talks_line_by_line(generate, monkeypatch):
    typed = "a\n/tell country=fr\nb\n/tell country=gb\nc\n/why\n/quit\nnever\n"
    code, printed, _ = generate("--chat", "--max-new-tokens", 3, typed=typed)
    assert code == 0 and printed.count("> ") == 7
    assert "the country fr is not among those" in printed and "/why is no order" in printed


def test_a_pipe_is_a_prompt(generate, monkeypatch, folder, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("the price of\n"))
    code, printed, told = call(
        monkeypatch, capsys, "generate", str(folder), "--max-new-tokens", "3"
    )
    assert code == 0 and printed.strip() and "3 tokens in" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a", "--country", "fr"), "the country fr is not among those that this model was told"),
        (("a", "--country", "atlantis"), "'atlantis' is no country"),
        (("a", "--tell", "topic=sport"), "this model was not told topic in training: it knows"),
        (("a", "--tell", "topic"), "give name=value"),
        (("a", "--host", "a\nb"), "host has a line end"),
        (("a", "--guidance", "2"), "--guidance compares what is told with nothing told"),
        (("a", "--compare", "ng,,gb"), "give countries and none, as ng,gb,none"),
        (("a", "--file", "b"), "a prompt and --file"),
        (("--file", "none.jsonl"), "cannot read none.jsonl"),
        (("a" * 400,), "tokens, and the model takes 128: shorten it"),
        (("a", "--temperature", "0"), "leave it out"),
        (("a", "--top-p", "7"), "7.0 is not in the range"),
        (("a", "--set", "num_return_sequences=3"), "sampling options: "),
        (("a", "--set", "magic=7"), "--set magic: transformers has no such setting"),
        ((" ",), "the prompt is empty"),
        (("a", "--base", "x", "--stop"), "requires an argument"),
    ],
)
def test_a_mistake_is_one_line(generate, arguments, says):
    code, printed, told = generate(*arguments)
    assert code == 2 and printed == "" and told.count("\n") == 1, told
    assert says in told


def test_no_model_is_one_line(monkeypatch, capsys, tmp_path):
    for where, says in ((tmp_path / "none", "no folder"), (tmp_path, "has no config.json")):
        code, _, told = call(monkeypatch, capsys, "generate", str(where), "a")
        assert code == 2 and says in told and told.count("\n") == 1


def test_of_a_model_that_was_told_nothing_all_telling_is_refused():
    from geo_nemo.config import UserError

    with pytest.raises(UserError, match="was not told country in training: it was told nothing"):
        Tells(MetadataPolicy(fields=()))({"country": "ng"}, "--tell")
