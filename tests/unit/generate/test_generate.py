"""What a model writes, beside a greedy loop in plain PyTorch; options, files, and mistakes."""

import io
import json
import re
import shutil

import pytest
import torch

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.tune import load_tune
from geo_nemo.export.loaded import load_model, load_tokenizer, open_folder
from geo_nemo.generate.prompts import Prompt, Tells
from geo_nemo.generate.writer import Options, Writer
from geo_nemo.tune.run import Tuning
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


def test_a_stop_may_be_a_control_token(loaded):
    forced = {"forced_eos_token_id": loaded[1].bos_token_id, "max_new_tokens": 3}
    cut = writer(loaded, stop=("<s>",), **forced).write(PROMPTS[:1], 0)[0]
    assert (cut.ended, cut.tokens) == ("stop", 3) and "<s>" not in cut.text


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
    typed = "a\n/tell country=fr\nb\n/tell country=gb\nc\n/why\n/tell gb\n/quit\nnever\n"
    code, printed, _ = generate("--chat", "--max-new-tokens", 3, typed=typed)
    assert code == 0 and printed.count("> ") == 8
    assert "/tell gb: give name=value, as /tell topic=sport" in printed
    assert "the country fr is not among those" in printed and "/why is no order" in printed


def test_a_slip_of_an_order_loses_no_conversation(generate):
    def last(*between):
        typed = "\n".join(("the price of", *between, "why", "/quit", ""))
        _, printed, _ = generate("--chat", "--max-new-tokens", 8, typed=typed)
        return printed.split("> ")[-2]

    assert last("/why") == last("/tell gb") == last("/tell topic=x") == last() != last("/new")


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
        (("a", "--country", "zz"), "--country zz: 'zz' is no country"),
        (("a", "--host", "a b"), "--host a b: host is 'a b', which is no host"),
        (("a", "--country", "ng", "--tell", "topic=x"), "--country ng --tell topic=x: this model"),
        (("a", "--tell", "topic=sport"), "this model was not told topic in training: it knows"),
        (("a", "--tell", "topic"), "give name=value"),
        (("a", "--tell", "country= "), "--tell country= : its value is empty"),
        (("a", "--host", "a\nb"), "host has a line end"),
        (("a", "--guidance", "2"), "--guidance compares what is told with nothing told"),
        (("a", "--guidance", "nan", "--country", "ng"), "--guidance nan: give a number"),
        (
            ("a", "--out", "no/where.jsonl"),
            "cannot write no/where.jsonl: there is no folder no; make",
        ),
        (("a", "--out", "/tmp"), "cannot write /tmp: it is a folder; give a file in it as --out"),
        (("a", "--compare", "ng,,gb"), "give countries and none, as ng,gb,none"),
        (("a", "--file", "b"), "a prompt and --file"),
        (("--file", "none.jsonl"), "cannot read none.jsonl"),
        (("--file", "none.jsonl", "--title", "x"), "--title is of a prompt: records of --file"),
        (("a" * 400,), "tokens, and the model takes 128: shorten it"),
        (("a", "--temperature", "0"), "leave it out"),
        (("a", "--top-p", "7"), "7.0 is not in the range"),
        (("a", "--set", "num_return_sequences=3"), "give --samples in its place"),
        (("a", "--set", "eos_token_id=3"), "--set eos_token_id: it is not to be set here"),
        (("a", "--set", "output_scores=true"), "--set output_scores: it is not to be set here"),
        (("a", "--set", "typical_p=[1"), "--set typical_p=[1: give name=value"),
        (("a", "--set", "watermarking_config=3"), "sampling options: "),
        (("a", "--seed", "9" * 30), "is not in the range"),
        (("a", "--temperature", "inf"), "is not in the range"),
        (("a", "--num-beams", "100000"), "is not in the range"),
        (("a", "--num-beams", "2", "--guidance", "2", "--country", "ng"), "does not go with"),
        (("a", "--stop", ""), "--stop is empty"),
        (("a", "--country", ""), "--country is empty"),
        (("a", "--compare", ""), "--compare is empty"),
        (("a", "--compare", "ng", "--country", "gb"), "leave the other country out"),
        (("a", "--tell", "country=ng", "--country", "gb"), "--country and --tell country=...:"),
        (("a", "--host", "https://a.com/b"), "which is no host: give its name, as punchng.com"),
        (("a", "--host", "a.com/"), "which is no host"),
        (("a", "--host", ".."), "which is no host"),
        (("a", "--host", "a\x85b.com"), "holds the control character U+0085"),
        (("a", "--tell", "url=https://[::"), "url is 'https://[::': Invalid IPv6"),
        (("a", "--tell", "url=https:///a"), "which names no host"),
        (("a", "--tell", "continent=Mars"), "'Mars' is no continent: there is Africa, America"),
        (("a", "--tell", "continent=Asia", "--country", "ng"), "is not in Asia but in Africa"),
        (("\udcff",), "the prompt holds half a character"),
        (("a", "--base", "x"), "is a whole model, no adapter; leave --base out"),
        (("a", "--set", "magic=7"), "--set magic: transformers has no such setting"),
        ((" ",), "the prompt is empty"),
        (("a", "--base", "x", "--stop"), "requires an argument"),
    ],
)
def test_a_mistake_is_one_line(generate, arguments, says):
    code, printed, told = generate(*arguments)
    assert code == 2 and printed == "" and told.count("\n") == 1, told
    assert says in told


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"messages": [{"role": "user", "content": None}]}, "no list of role and content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "no list of role and content"),
        ({"messages": [{"role": "user", "content": " "}]}, "turn 1, of user, is empty"),
        ({"prompt": "a", "title": ["b"]}, "title is no text"),
        ({"prompt": "a", "input": {"b": 1}}, "input is no text"),
        ({"prompt": "a", "metadata": {"country": "fr"}}, "the country fr is not among those"),
        ({"prompt": "a", "metadata": {"continent": "x"}}, "'x' is no continent"),
        ([{"prompt": "a"}], "give an object with a prompt, each on a line of its own"),
        ("[" * 99_999, "is not JSON: give a record a line, not one list over all"),
        ('{"prompt": "\\ud800"}', r"has half a character (\ud800)"),
    ],
)
def test_a_mistake_of_a_record_names_its_line(generate, tmp_path, record, says):
    path = tmp_path / "p.jsonl"
    line = record if isinstance(record, str) else json.dumps(record)
    path.write_text(json.dumps({"prompt": "a"}) + "\n" + line + "\n")
    code, printed, told = generate("--file", path)
    assert code == 2 and printed == "" and told.count("\n") == 1, told
    assert f"{path}:2" in told and says in told


def settings(name, **changes):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def content(name, text):
    return lambda folder: (folder / name).write_bytes(text)


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (content(INDEX, b'{"weight_map": ["a"]}'), "does not hold what it should"),
        (content(INDEX, b'{"weight_map": {"a": null}}'), "lacks None: fetch or export"),
        (content(INDEX, b'{"weight_map": {}}'), "names no file of weights"),
        (content(INDEX, b"{}"), "lacks 'weight_map'"),
        (settings("config.json", model_type=[1]), "model_type is [1], which transformers does"),
        (settings("config.json", hidden_act="magic"), "does not load: "),
        (settings("config.json", vocab_size="many"), "config.json is no config of a llama: "),
        (settings("config.json", num_attention_heads=3), "config.json is no config of a llama: "),
        (settings("config.json", num_hidden_layers=-1), "num_hidden_layers is -1: fetch or"),
        (settings("config.json", num_hidden_layers=3), "lacks the weights model.layers.2."),
        (content("tokenizer.json", b"{"), "does not load: "),
        (content("tokenizer.json", b"[]"), "give the folder its own tokenizer.json"),
        (content("tokenizer_config.json",
                 b'{"tokenizer_class": "Y", "auto_map": {"AutoTokenizer": ["x.Y", null]}}'),
         "it is code that the folder brings, which is not run here"),
        (content("chat_template.jinja", b""), "the chat template makes nothing of the prompt"),
        (content("chat_template.jinja", b"{% if %}"), "the chat template does not work: Expected"),
        (content("chat_template.jinja", b"{{ foo.bar.baz }}"), "the chat template does not work:"),
        (content("chat_template.jinja", b"{% for i in range(999999999) %}x{% endfor %}"),
         "the chat template does not work: Range too big"),
        (settings("training.json", stages={}), "tells of no stages: export the model anew"),
        (settings("training.json", stages=[]), "does not hold what it should"),
        (settings("training.json", stages={"a": {"metadata": 7}}), "does not hold what it should"),
        (settings("training.json", ledger=7), "does not hold what it should"),
        (settings("training.json", ledger={"stages": [1]}), "does not hold what it should"),
        (settings("training.json", ledger={"stages": {"a": {}}}), "lacks 'trained'"),
    ],
)  # fmt: skip
def test_a_folder_that_is_damaged_is_one_line(monkeypatch, capsys, folder, tmp_path, change, says):
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    change(damaged)
    code, printed, told = call(monkeypatch, capsys, "generate", str(damaged), "a", "--chat")
    assert code == 2 and printed == "" and told.count("\n") == 1, told
    assert str(damaged) in told or "chat template" in told
    assert says in told


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [("generate", "{}", "a"), ("allreduce",)])
def test_a_device_that_is_not_there_is_named_as_it_was_typed(monkeypatch, capsys, folder, command):
    words = [word.format(folder) for word in command]
    code, _, told = call(monkeypatch, capsys, *words, "--device", "gpu")
    assert code == 2 and told.startswith("geo-nemo: --device gpu: torch sees no GPU here"), told
    assert told.endswith("or give --device cpu\n")


def test_the_base_of_an_adapter_is_asked_for_as_each_command_takes_it(
    monkeypatch, capsys, tmp_path
):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "gone"}')
    (tmp_path / "adapter_model.safetensors").touch()
    code, _, told = call(monkeypatch, capsys, "generate", str(tmp_path), "a")
    assert code == 2 and "an adapter of gone, which" in told and "as --base FOLDER" in told
    tuning = load_tune("tune", str(tmp_path), ["data=d.jsonl", f"output={tmp_path / 'o'}"])
    with pytest.raises(
        UserError, match=r"put the right one's folder into its adapter_config\.json"
    ):
        Tuning(tuning)


def test_an_adapter_without_its_weights_is_one_line(monkeypatch, capsys, folder, tmp_path):
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(folder)})
    )
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04.")
    code, _, told = call(monkeypatch, capsys, "generate", str(tmp_path), "a")
    assert code == 2 and told.count("\n") == 1
    assert "lacks adapter_model.safetensors: tune or fetch the adapter anew" in told


def test_a_text_that_is_cut_by_no_line_end_is_one_record(generate, tmp_path):
    path = tmp_path / "p.ndjson"
    path.write_text('\ufeff{"prompt": "a\u2028b\x85c"}\r\n{"prompt": "d"}\n', "utf-8")
    code, _, told = generate("--file", path, "--out", tmp_path / "o.jsonl", "--max-new-tokens", 2)
    assert code == 0, told
    lines = (tmp_path / "o.jsonl").read_text("utf-8").split("\n")[:-1]
    assert [json.loads(line)["prompt"] for line in lines] == ["a\u2028b\x85c", "d"]


def test_brackets_and_colons_of_a_prompt_are_shown_as_they_are(generate):
    code, printed, told = generate("[b]x[/i] :smile:", "--compare", "ng", "--max-new-tokens", 2)
    assert code == 0 and "[b]x[/i] :smile:" in printed, told


@pytest.mark.parametrize(
    "given", [("--compare", "ng,gb"), ("--out", "o"), ("--samples", "2"), ("--batch-size", "2")]
)
def test_what_a_talk_has_no_use_for_is_refused(generate, given):
    code, _, told = generate(*given, typed="a\n")
    assert code == 2 and f"{given[0]} is for a prompt or a --file, and none is given" in told


def test_a_talk_that_is_too_long_says_how_to_begin_anew(generate):
    _, printed, _ = generate("--chat", "--max-new-tokens", 2, typed=f"a\n{'b ' * 200}\n")
    assert "shorten it; /new begins anew" in printed


def test_a_pipe_that_is_not_utf_8_is_one_line(generate, monkeypatch, capsys, folder):
    stdin = io.TextIOWrapper(io.BytesIO(b"a\xff"), "utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    code, printed, told = call(monkeypatch, capsys, "generate", str(folder))
    assert (code, printed) == (2, "") and "the piped prompt is not in utf-8" in told


@pytest.fixture(scope="module")
def of_others(folder, tmp_path_factory):
    """A GPT-2 of transformers, with a tokenizer and no chat template."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("others") / "gpt2"
    config = GPT2Config(vocab_size=640, n_positions=128, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(place)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(folder / name, place / name)
    return place


def test_a_model_of_others_goes_on_with_a_text_as_it_is(monkeypatch, capsys, of_others):
    opened = open_folder(str(of_others))
    model, tokenizer = load_model(opened, "float32", "cpu"), load_tokenizer(opened)
    ids = greedy(model, tokenizer("the price of")["input_ids"], number=5)
    words = ("generate", str(of_others), "the price of", "--max-new-tokens", "5")
    code, printed, told = call(monkeypatch, capsys, *words)
    assert code == 0 and tokenizer.decode(ids, skip_special_tokens=True).strip() in printed, told
    for wrong, says in ((["--chat"], "or give --document"), (["--title", "x"], "a title has no")):
        code, _, told = call(monkeypatch, capsys, *words, *wrong)
        assert code == 2 and says in told and told.count("\n") == 1


def test_a_model_of_others_with_a_template_answers(monkeypatch, capsys, of_others, tmp_path):
    place = shutil.copytree(of_others, tmp_path / "m")
    template = (
        "{% for m in messages %}Q:{{ m.content }}{% endfor %}{% if add_generation_prompt %} A:"
    )
    (place / "chat_template.jinja").write_text(template + "{% endif %}")
    words = ("generate", str(place), "x", "--max-new-tokens", "2", "--out", str(tmp_path / "o"))
    assert call(monkeypatch, capsys, *words)[0] == 0
    opened = open_folder(str(place))
    made = Writer(load_model(opened, "float32", "cpu"), load_tokenizer(opened), opened, Options({}))
    assert made.tokenizer.decode(made.ids(Prompt(("x",)))) == "Q:x A:"
    made.use(Options({}, chat=False))
    assert made.ids(Prompt(("x",))) == made.tokenizer("x")["input_ids"]


@pytest.mark.parametrize("template", ["{% if %}", "{{ messages[7].content }}", "{# nothing #}"])
def test_what_does_a_template_s_work_is_named_for_a_model_of_others(
    monkeypatch, capsys, of_others, folder, tmp_path, template
):
    for name, model, says in (
        ("others", of_others, "or give --document to have it go on"),
        ("own", folder, "export the model anew, or put its own"),
    ):
        place = shutil.copytree(model, tmp_path / name)
        (place / "chat_template.jinja").write_text(template)
        code, _, told = call(monkeypatch, capsys, "generate", str(place), "x", "--chat")
        assert code == 2 and says in told and told.count("\n") == 1, told
    words = ("generate", str(tmp_path / "others"), "x", "--document", "--max-new-tokens", "2")
    assert call(monkeypatch, capsys, *words)[0] == 0


def test_an_empty_template_of_a_model_of_others_is_none(monkeypatch, capsys, of_others, tmp_path):
    place = shutil.copytree(of_others, tmp_path / "m")
    (place / "chat_template.jinja").touch()
    words = ("generate", str(place), "x", "--max-new-tokens", "2")
    assert call(monkeypatch, capsys, *words)[0] == 0
    code, _, told = call(monkeypatch, capsys, *words, "--chat")
    assert code == 2 and "has no chat template: put the model's own" in told


def test_writing_ends_at_each_token_that_the_folder_names(loaded):
    first = writer(loaded, max_new_tokens=3)
    ids = greedy(loaded[0], first.ids(PROMPTS[0]), number=3)
    before = loaded[0].generation_config.eos_token_id
    loaded[0].generation_config.eos_token_id = [2, ids[1]]
    try:
        made = writer(loaded).write(PROMPTS[:1], 0)[0]
    finally:
        loaded[0].generation_config.eos_token_id = before
    assert made.ended == "eos" and made.tokens == ids.index(ids[1])


def test_what_is_of_sampling_by_set_samples(generate):
    code, _, told = generate("a", "--set", "typical_p=0.9", "--max-new-tokens", 3)
    assert code == 0, told


def test_no_model_is_one_line(monkeypatch, capsys, tmp_path):
    for where, says in ((tmp_path / "none", "no folder"), (tmp_path, "has no config.json")):
        code, _, told = call(monkeypatch, capsys, "generate", str(where), "a")
        assert code == 2 and says in told and told.count("\n") == 1


def test_of_a_model_that_was_told_nothing_all_telling_is_refused():
    with pytest.raises(UserError, match="was not told country in training: it was told nothing"):
        Tells(MetadataPolicy(fields=()))({"country": "ng"}, "--tell")
