"""Models of transformers behind the scorer: against known probabilities and plain transformers."""

import json
import math
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from eval.config import EvalConfig
from eval.models import read_models
from eval.report.lead import lead
from eval.runner import evaluate
from eval.scorers import endings as endings_of
from eval.scorers import tokenizers
from eval.scorers.beginnings import alike
from eval.scorers.load import load
from eval.scorers.tokenizers import HubTokenizer
from geo_nemo.cli.eval import command
from geo_nemo.config import UserError
from geo_nemo.data.sequences import build_sequence
from geo_nemo.metadata.composed import Composed
from tests.unit.eval import hub
from tests.unit.eval.fakes import VOCAB, log_table, make_run, nats_of_text


def config_of(folder, **settings) -> EvalConfig:
    settings = {"bootstrap_samples": 100, "device": "cpu", "output": str(folder / "out")} | settings
    return EvalConfig(**settings)


def run(config):
    return evaluate(config, lambda model: load(model, config))


@pytest.fixture(scope="module")
def folders(world, tmp_path_factory):
    """bigram and llama by the store's tokenizer, other by one of its own; a corpus."""
    folder = tmp_path_factory.mktemp("hub")
    hub.save_bigram(folder / "bigram", log_table(None))
    hub.save_byte_tokenizer(folder / "bigram")
    words = [f"{title} {body}" for *_, title, body in world.documents]
    for name, save in (("llama", hub.save_llama), ("gpt2", hub.save_gpt2)):
        hub.save_other_tokenizer(folder / name, words)
        save(folder / name, 400)
    hub.save_corpus(folder / "corpus.parquet", world.documents)
    return folder


def per_document(output):
    with np.load(output / "documents.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_a_bigram_of_known_probabilities_goes_through_perplexity_and_bits_per_byte(
    folders, world, tmp_path
):
    config = config_of(
        tmp_path, runs={"bigram": str(folders / "bigram")}, corpus=str(folders / "corpus.parquet"),
        conditions=("with", "without", "plain"),
    )  # fmt: skip
    result = run(config)
    found = per_document(tmp_path / "out")
    conditions = [key.partition("/")[2] for key in found["keys"]]
    table, text_bytes = log_table(None), 0
    for place, (_, _, title, body) in enumerate(world.documents):
        expected = nats_of_text(None, "", title, body)
        text_bytes += len(title) + len(body)
        # A bigram forgets what stands further back: metadata before a label change nothing.
        for condition in ("with", "without"):
            at = conditions.index(condition)
            got = found["title"][at, place], found["body"][at, place]
            assert got == pytest.approx(expected, rel=1e-4)
    cell = next(c for c in result["perplexity"]["cells"]
                if (c["group"], c["part"], c["condition"]) == ("all", "text", "without")
                )  # fmt: skip
    nats = sum(sum(nats_of_text(None, "", t, b)) for *_, t, b in world.documents)
    assert cell["perplexity"] == pytest.approx(math.exp(nats / cell["tokens"]), rel=1e-4)
    assert cell["bits_per_byte"] == pytest.approx(nats / math.log(2) / text_bytes, rel=1e-4)
    # The bare text begins behind BOS, and its body behind the title's blank line.
    at = conditions.index("plain")
    tokenizer = AutoTokenizer.from_pretrained(folders / "bigram")
    for place, (_, _, title, body) in enumerate(world.documents):
        text = (f"{title}\n\n" if title else "") + body
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        expected = -sum(table[a, b] for a, b in pairwise(ids))
        got = found["title"][at, place] + found["body"][at, place]
        assert got == pytest.approx(expected, rel=1e-4)
    assert result["runs"]["bigram"]["off_distribution"] == ["with", "without"]


def test_places_in_the_text_add_up_and_begin_with_its_first_tokens(folders, world, tmp_path):
    from eval.cache import Cache
    from eval.perplexity import BANDS

    config = config_of(tmp_path, runs={"bigram": str(folders / "bigram")},
                       corpus=str(folders / "corpus.parquet"), conditions=("without",))  # fmt: skip
    run(config)
    found = per_document(tmp_path / "out")
    cache = Cache(tmp_path / "out" / "cache")
    with np.load(cache.folder / "bigram.without.documents.npz") as arrays:
        places = arrays["places"]
    assert places.sum(1) == pytest.approx(found["title"][0] + found["body"][0], rel=1e-6)
    table, tokenizer = log_table(None), AutoTokenizer.from_pretrained(folders / "bigram")
    place = next(n for n, (_, _, title, body) in enumerate(world.documents)
                 if not title and len(body) > 20)  # fmt: skip
    text = "CONTENT: " + world.documents[place][3]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    nats = [-table[a, b] for a, b in pairwise(ids)][len("CONTENT:") - 1 :]
    starts = [0, *BANDS[:-1]]
    for band, (start, stop) in enumerate(zip(starts, BANDS, strict=True)):
        assert places[place, band] == pytest.approx(sum(nats[start:stop]), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_row_s_losses_are_those_of_plain_transformers_one_text_at_a_time(folders, name):
    model = read_models({"m": str(folders / name)})["m"]
    scorer = load(model, config_of(folders, runs={"m": "x"}, store="x"))
    plain = AutoModelForCausalLM.from_pretrained(folders / name)
    rng = np.random.default_rng(0)
    texts = [rng.integers(400, size=n) for n in (40, 3, 17, 90, 2)]
    positions = np.array([len(text) - 1 for text in texts])
    (places,) = scorer.batches(positions)
    assert sorted(places) == [0, 1, 2, 3, 4]
    none = np.zeros(0, np.int32)
    fragments = [Composed(int(texts[p][0]), (none, none, none, none, texts[p][1:], none, none))
                 for p in places]  # fmt: skip
    row = build_sequence(fragments, [0] * 5, int(positions.sum()) + 9, 0, True)
    found = scorer.nll(row)
    for segment, place in enumerate(places):
        ids = torch.from_numpy(texts[place])[None]
        with torch.no_grad():
            log_p = plain(ids).logits.double().log_softmax(-1)[0, :-1]
        expected = -log_p.gather(1, ids[0, 1:, None])[:, 0].numpy()
        start, end = row.cu_seqlens[segment : segment + 2]
        assert found[start:end] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bigram"])
def test_endings_behind_a_shared_prefix_have_the_losses_of_the_whole_text(
    folders, name, monkeypatch
):
    monkeypatch.setattr(endings_of, "RUNS", 32)  # so that a few texts make several groups
    model = read_models({"m": str(folders / name)})["m"]
    scorer = load(model, config_of(folders, runs={"m": "x"}, store="x"))
    plain = AutoModelForCausalLM.from_pretrained(folders / name)
    rng = np.random.default_rng(3)
    # Some begin alike, as questions of a country or behind solved examples do.
    begun = [rng.integers(VOCAB, size=n) for n in (0, 70, 70)]
    begun.append(np.concatenate([begun[2], rng.integers(VOCAB, size=80)]))
    starts = [begun[n] for n in (0, 0, 1, 1, 2, 2, 3, 3, 0)]
    prefixes = [
        np.concatenate([start, rng.integers(VOCAB, size=n)])
        for start, n in zip(starts, (30, 4, 11, 90, 1, 2, 3, 1, 1), strict=True)
    ]
    endings = [[rng.integers(VOCAB, size=n) for n in sizes] for sizes in
               ((1, 4, 2), (7, 7), (1, 1, 1, 1), (3, 1, 9), (1,), (2, 2), (3, 4), (5,), (1, 1))
               ]  # fmt: skip
    common = [common for _, common in alike(prefixes, scorer.positions // 32)]
    assert sorted(common) == [0, 70, 70, 150]
    found = scorer.continuations(prefixes, endings)
    assert scorer.endings.shares  # it was tried, and is what gave the answers
    for prefix, of, answers in zip(prefixes, endings, found, strict=True):
        for ending, answer in zip(of, answers, strict=True):
            ids = torch.from_numpy(np.concatenate([prefix, ending]))[None]
            with torch.no_grad():
                log_p = plain(ids).logits.double().log_softmax(-1)[0, len(prefix) - 1 : -1]
            expected = -log_p.gather(1, torch.from_numpy(ending)[:, None])[:, 0].numpy()
            assert answer == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_models_of_two_tokenizers_are_scored_on_the_same_words(folders, world, tmp_path):
    longest = max(len(body) for *_, body in world.documents)
    config = config_of(
        tmp_path, runs={"bytes": str(folders / "bigram"), "words": str(folders / "llama")},
        corpus=str(folders / "corpus.parquet"), conditions=("with", "without"), max_tokens=30,
    )  # fmt: skip
    result = run(config)
    cells = {c["run"]: c for c in result["perplexity"]["cells"]
             if (c["group"], c["part"], c["condition"]) == ("all", "text", "without")}  # fmt: skip
    assert longest > 30 and result["documents"]["cut"] > 0
    assert cells["bytes"]["tokens"] > cells["words"]["tokens"]
    nats = {name: c["nats"] * c["tokens"] for name, c in cells.items()}
    for name, cell in cells.items():
        size = result["documents"]["bytes"]
        assert cell["bits_per_byte"] == pytest.approx(nats[name] / math.log(2) / size, rel=1e-9)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (
            ("only_topic",),
            "condition only_topic: runs.m is shown url, country, continent and no topic",
        ),
        (("only_",), "no condition only_: there is with, without"),
        (("with", "with"), "names a condition twice"),
    ],
)
def test_an_arm_that_cannot_be_shown_is_named(folders, tmp_path, conditions, words):
    with pytest.raises((UserError, ValueError), match=words):
        run(config_of(tmp_path, runs={"m": str(folders / "bigram")}, conditions=conditions,
                      corpus=str(folders / "corpus.parquet")))  # fmt: skip
    assert not (tmp_path / "out").exists()


def no_model(folder):
    (folder / "config.json").unlink()


def no_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def encoder(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"is_encoder_decoder": True}))


def adapter(folder):
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')


DAMAGE = {
    no_model: "is no model: it has neither run.json",
    no_tokenizer: "has no tokenizer: put its tokenizer.json",
    no_weights: r"has no \*.safetensors",
    pickled: "its weights are pickled, which may run code",
    cut_short: "does not load: ",
    encoder: "is an encoder and a decoder",
    adapter: "is an adapter of org/base, which is no folder here",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_that_is_no_whole_model_is_one_line(folders, tmp_path, damage):
    broken = shutil.copytree(folders / "bigram", tmp_path / "broken")
    damage(broken)
    with pytest.raises(UserError, match=DAMAGE[damage]) as raised:
        run(config_of(tmp_path, runs={"m": str(broken)}, corpus=str(folders / "corpus.parquet")))
    assert "\n" not in str(raised.value) and str(broken) in str(raised.value)
    assert not (tmp_path / "out" / "eval.json").exists()


def test_a_model_that_does_not_load_leaves_no_folder(folders, tmp_path):
    broken = shutil.copytree(folders / "bigram", tmp_path / "broken")
    cut_short(broken)
    arguments = [f"runs.m={broken}", f"corpus={folders / 'corpus.parquet'}",
                 f"output={tmp_path / 'out'}"]  # fmt: skip
    done = CliRunner().invoke(command, arguments)
    assert isinstance(done.exception, UserError) and "does not load" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_tokenizer_is_refused_on_a_store(folders, world, tmp_path):
    with pytest.raises(UserError, match="brings a tokenizer of its own: give corpus="):
        run(config_of(tmp_path, runs={"m": str(folders / "llama")}, store=str(world.store.root)))
    assert not (tmp_path / "out").exists()


def bad_corpus(folder, what):
    path = folder / "bad.parquet"
    if what == "not parquet":
        path.write_text("{}")
    elif what == "nothing":
        return folder / "gone"
    else:
        hub.save_corpus(path, [("gb", "a.gb", "", "text")])
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        if what == "no text":
            table = table.drop_columns(["text"])
        if what == "no documents":
            table = table.slice(0, 0)
        if what == "country":
            table = table.set_column(table.schema.get_field_index("country"), "country",
                                     [["Britain"]])  # fmt: skip
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("not parquet", "cannot read .*bad.parquet as Parquet"),
        ("nothing", "no Parquet there"),
        ("no text", "has no column text"),
        ("no documents", "has no document in split test"),
        ("country", "'Britain' is no country; write ISO 3166"),
    ],
)
def test_texts_that_cannot_be_read_are_one_line(folders, tmp_path, what, words):
    corpus = bad_corpus(tmp_path, what)
    with pytest.raises(UserError, match=words):
        run(config_of(tmp_path, runs={"m": str(folders / "bigram")}, corpus=str(corpus)))
    assert not (tmp_path / "out").exists()


def test_a_run_is_named_with_a_step_or_with_all(world, tmp_path, caplog):
    folder = make_run(tmp_path / "run", world.store, fields=("country",), step=100)
    shutil.copytree(folder / "checkpoints" / "step_00000100",
                    folder / "checkpoints" / "step_00000050")  # fmt: skip
    from tests.unit.eval.fakes import rewrite_record

    rewrite_record(folder / "checkpoints" / "step_00000050", step=50)
    models = read_models({"a": f"{folder}@all", "b": f"{folder}@50", "c": str(folder)})
    assert {name: model.step for name, model in models.items()} == {
        "a-50": 50, "a-100": 100, "b": 50, "c": 100,
    }  # fmt: skip
    with pytest.raises(UserError, match="@70: no whole checkpoint of that step; there is 50, 100"):
        read_models({"a": f"{folder}@70"})
    with pytest.raises(UserError, match="no such folder"):
        read_models({"a": f"{folder}x@70"})
    # A point that a learning curve lacks is told.
    next((folder / "checkpoints" / "step_00000050").rglob("*.json")).unlink()
    assert list(read_models({"a": f"{folder}@all"})) == ["a-100"]
    assert "step_00000050 is not whole" in caplog.text and "it is left out" in caplog.text


def test_a_report_of_models_alone_has_its_page(folders, tmp_path):
    from eval.config import ReportConfig
    from eval.report.page import write_report

    models = {"bigram": str(folders / "bigram"), "words": str(folders / "llama")}
    found = run(config_of(tmp_path, runs=models, corpus=str(folders / "corpus.parquet"),
                          conditions=("with", "without", "plain", "only_country")))  # fmt: skip
    bits = {
        c["run"]: c["bits_per_byte"] for c in found["perplexity"]["cells"]
        if (c["group"], c["part"], c["condition"]) == ("all", "text", "plain")
    }  # fmt: skip
    how = "worse" if bits["words"] > bits["bigram"] else "better"
    assert (
        f"On bare text run words is {how} than run bigram: {bits['words']:.3f} bits a byte against "
        f"{bits['bigram']:.3f}."
    ) in lead(found)
    page = tmp_path / "report.html"
    write_report(ReportConfig(eval=str(tmp_path / "out"), output=str(page)))
    text = page.read_text()
    assert "told the country alone" in text and "bare text" in text
    assert "Bits per byte, title and body" in text
    assert "training not known" in text and "never trained on what it reads there" in text


def adapter(peft, made_for, named, folder, **settings):
    """An adapter of LoRA that was made for a model and names another as its base; and the model."""
    base = AutoModelForCausalLM.from_pretrained(made_for)
    adapted = peft.get_peft_model(base, peft.LoraConfig(**settings))
    adapted.peft_config["default"].base_model_name_or_path = str(named)
    adapted.save_pretrained(folder)
    return folder, adapted


def test_an_adapter_is_its_base_and_what_it_changes(folders, tmp_path):
    peft = pytest.importorskip("peft")
    place, adapted = adapter(
        peft, folders / "llama", folders / "llama", tmp_path / "adapter", r=2,
        target_modules=["q_proj"], init_lora_weights=False,
    )  # fmt: skip
    model = read_models({"m": str(place)})["m"]
    assert (
        model.tuned and model.identity != read_models({"m": str(folders / "llama")})["m"].identity
    )
    scorer = load(model, config_of(tmp_path, runs={"m": "x"}, store="x"))
    prefix, ending = np.arange(7), np.arange(3)
    ((found,),) = scorer.continuations([prefix], [[ending]])
    ids = torch.from_numpy(np.concatenate([prefix, ending]))[None]
    with torch.no_grad():
        log_p = adapted(ids).logits.log_softmax(-1)[0, 6:-1]
    expected = -log_p.gather(1, torch.from_numpy(ending)[:, None])[:, 0].numpy()
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_an_adapter_goes_with_its_own_base_alone_and_is_whole(folders, tmp_path):
    """PEFT itself loads what fits and says nothing of the rest."""
    peft = pytest.importorskip("peft")
    for layers in (1, 2):
        shape = AutoConfig.from_pretrained(folders / "llama", num_hidden_layers=layers)
        AutoModelForCausalLM.from_config(shape).save_pretrained(tmp_path / f"of{layers}")
    config = config_of(tmp_path, runs={"m": "x"}, store="x")

    def loaded(made_for, named, **settings):
        settings = {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False} | settings
        place, _ = adapter(peft, tmp_path / made_for, tmp_path / named, tmp_path / "a", **settings)
        return load(read_models({"m": str(place)})["m"], config)

    for made_for, named, words in (
        (
            "of2",
            "of1",
            r"another base: it has weights .*layers\.1\..* and 1 more, which are no part",
        ),
        ("of1", "of2", r"another base: it has no weights for .*layers\.1\..* and 1 more of the"),
    ):
        with pytest.raises(UserError, match=words) as raised:
            loaded(made_for, named)
        assert "\n" not in str(raised.value)
    loaded("of2", "of2", modules_to_save=["lm_head"])
    loaded("of2", "of2", target_modules=["q_proj", "embed_tokens"])
    weights = load_file(tmp_path / "a" / "adapter_model.safetensors")
    weights[min(weights)][0, 0] = torch.nan
    save_file(weights, tmp_path / "a" / "adapter_model.safetensors")
    with pytest.raises(UserError, match="are not finite: fetch or tune it anew"):
        load(read_models({"m": str(tmp_path / "a")})["m"], config)
    (tmp_path / "a" / "tune.json").write_text('{"base": "0123456789abcdef"}')
    with pytest.raises(UserError, match=r"was tuned on weights 0123456789abcdef, and .*of2 has"):
        load(read_models({"m": str(tmp_path / "a")})["m"], config)


@pytest.mark.parametrize(("width", "positions"), [(8, 2048), (128, 2048), (768, 341)])
def test_batches_hold_what_a_cpu_s_caches_do(width, positions):
    from transformers import LlamaConfig, LlamaForCausalLM

    from eval.scorers.loaded import LoadedModel

    shape = {"hidden_size": width, "intermediate_size": 8, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=11, num_hidden_layers=1, **shape)
    loaded = LoadedModel(LlamaForCausalLM(config).eval(), 4096, torch.device("cpu"))
    lengths = np.array([100] * 50 + [3000])
    batches = loaded.batches(lengths)
    assert batches[0].tolist() == [50]  # longer than any batch: alone
    assert len(batches[1]) == positions // 100
    assert sorted(np.concatenate(batches).tolist()) == list(range(51))


def test_tokenizers_that_begin_texts_otherwise_are_two(tmp_path):
    """Older folders tell what begins a text beside the tokenizer."""
    hub.save_byte_tokenizer(tmp_path / "one")
    told = tmp_path / "one" / "tokenizer_config.json"
    settings = json.loads(told.read_text())
    told.write_text(json.dumps({k: v for k, v in settings.items() if k != "bos_token"}))
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    for folder, start in (("one", "<s>"), ("other", "<pad>")):
        told = tmp_path / folder / "special_tokens_map.json"
        told.write_text(json.dumps({"bos_token": start}))
    one, other = (HubTokenizer("runs.m", tmp_path / folder) for folder in ("one", "other"))
    assert one.bos_id != other.bos_id and one.sha256 != other.sha256


@pytest.mark.parametrize("name", ["merges.txt", "added_tokens.json", "vocab.json"])
def test_a_tokenizer_is_known_by_every_file_that_changes_its_ids(tmp_path, name):
    found = []
    for content in ("{}", '{"a": 1}'):
        (tmp_path / name).write_text(content)
        found.append(tokenizers._hash(tmp_path))
    assert found[0] != found[1]
