"""Folders that transformers itself writes: Llama, Mistral, Qwen 2.5 and Qwen 3, read and written.

Logits of fp32 against transformers in double precision, with the tolerance of test_init_weights.py:
a head's norm adds two rounded sums a layer, a bias one.
"""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, LlamaConfig

from geo_nemo.config import Model, Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.export.hugging_face import export
from geo_nemo.export.source import find_source
from geo_nemo.model.hugging_face_config import read_shape
from geo_nemo.train.setup import prepare
from tests.support.architectures import KINDS, SIZES, written
from tests.support.command import call
from tests.support.logits import own_logits
from tests.support.runs import finished, trainer, weights
from tests.support.tiny import VOCAB_SIZE, tiny_run

pytestmark = pytest.mark.usefixtures("single_process")
RELATIVE = 5e-5


def begun(store, output, folder, **changes):
    """The trainer of a run of the folder's own shape, that begins with its weights."""
    init = {"checkpoint": str(folder), **changes.pop("init", {})}
    model = Model(**read_shape(folder))
    made = trainer(tiny_run(store, output, model=model, init=init, **changes))
    made.resume()
    return made


def tensors_of(folder):
    with safe_open(folder / "model.safetensors", "np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers_and_the_export_has_the_very_numbers(
    kind, tiny_store, tmp_path
):
    folder = written(kind, tmp_path / "theirs", tiny_store)
    made = begun(tiny_store, tmp_path / "run", folder)
    tokens = torch.randint(0, VOCAB_SIZE, (64,), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
        expected = model(tokens[None]).logits[0]
    found = own_logits(made.engine.module, tokens)[:, :VOCAB_SIZE]
    largest = expected.abs().max()
    assert (found - expected).abs().max() < RELATIVE * largest
    made.step = 1
    made.save()
    made.checkpoints.finish()
    out = tmp_path / "ours"
    export(find_source(str(tmp_path / "run"), None, tmp_path), out, "fp32")
    assert tensors_of(out) == tensors_of(folder)
    with torch.no_grad():
        again = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float64)
        assert torch.equal(again(tokens[None]).logits[0], expected)
    # Every vector of theirs counts: without one the tolerance is passed a hundredfold.
    for name, weight in model.named_parameters():
        if name.endswith(("layers.1.self_attn.k_norm.weight", "layers.1.self_attn.v_proj.bias")):
            with torch.no_grad():
                weight.zero_()
                assert (model(tokens[None]).logits[0] - expected).abs().max() > 0.005 * largest


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_biases_and_head_norms_are_trained(kind, tiny_store, tmp_path):
    folder = written(kind, tmp_path / "theirs", tiny_store)
    before = weights(begun(tiny_store, tmp_path / "begun", folder))
    made = finished(
        tiny_store,
        tmp_path / "run",
        model=Model(**read_shape(folder)),
        init={"checkpoint": str(folder)},
    )
    own = [name for name in before if "linear_qkv.bias" in name or "_layernorm.weight" in name]
    assert any("linear_qkv.bias" in name or "q_layernorm" in name for name in own)
    after = weights(made)
    assert not any(torch.equal(before[name], after[name]) for name in own)


def test_a_run_that_draws_its_weights_begins_with_biases_of_zero_and_norms_of_one(
    tiny_store, tmp_path
):
    for setting, name, value in (
        ("add_qkv_bias", "decoder.layers.0.self_attention.linear_qkv.bias", 0.0),
        ("qk_layernorm", "decoder.layers.0.self_attention.q_layernorm.weight", 1.0),
    ):
        model = tiny_run("s", "o").model.model_copy(update={setting: True})
        made = trainer(tiny_run(tiny_store, tmp_path / setting, model=model))
        assert weights(made)[name].eq(value).all()


def test_new_tokens_begin_at_the_mean_of_all_others(tiny_store, tmp_path, monkeypatch):
    few = VOCAB_SIZE - 3
    monkeypatch.setitem(KINDS, "llama", LlamaConfig(**{**SIZES, "vocab_size": few}))
    folder = written("llama", tmp_path / "theirs", tiny_store)
    run = tiny_run(
        tiny_store, tmp_path / "a", model=Model(**read_shape(folder)),
        init={"checkpoint": str(folder)},
    )  # fmt: skip
    with pytest.raises(UserError, match=r"637 tokens, and the store's tokenizer 640; .*=mean$"):
        prepare(run, 1)
    made = begun(tiny_store, tmp_path / "b", folder, init={"new_rows": "mean"})
    for name in ("embedding.word_embeddings.weight", "output_layer.weight"):
        rows = weights(made)[name]
        mean = rows[:few].double().mean(0)
        assert (rows[few:VOCAB_SIZE].double() - mean).abs().max() < 1e-7
        assert rows[:few].std() > 0.1 and not rows[VOCAB_SIZE:].any()


def test_rows_that_no_token_has_need_a_vocabulary_that_holds_them(
    tiny_store, tmp_path, monkeypatch
):
    monkeypatch.setitem(KINDS, "llama", LlamaConfig(**{**SIZES, "vocab_size": 700}))
    folder = written("llama", tmp_path / "theirs", tiny_store)
    model = Model(**read_shape(folder))
    init = {"checkpoint": str(folder)}
    match = "700 rows, more than the run's 640; give model.make_vocab_size_divisible_by=700$"
    with pytest.raises(UserError, match=match):
        prepare(tiny_run(tiny_store, tmp_path / "a", model=model, init=init), 1)
    held = model.model_copy(update={"make_vocab_size_divisible_by": 700})
    prepare(tiny_run(tiny_store, tmp_path / "b", model=held, init=init), 1)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("mistral", {"sliding_window": 64}, "sliding_window=64, and attention here has no window"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window=True, which this model"),
        (
            "qwen3",
            {"layer_types": ["full_attention", "sliding_attention"]},
            "sliding_window=in layer_types, and attention here",
        ),
        ("qwen3", {"attention_bias": True}, "attention_bias=True, which this model does not"),
        ("qwen2", {"model_type": "qwen2_moe"}, "'qwen2_moe'; llama, mistral, qwen2 and qwen3 are"),
        ("llama", {"hidden_size": None}, "config.json does not tell hidden_size$"),
        ("qwen3", {"rope_parameters": {"rope_type": "yarn", "factor": 4}}, r"scaled \(yarn\)"),
    ],
)
def test_what_ours_cannot_be_is_one_line(kind, changes, message, tiny_store, tmp_path):
    folder = written(kind, tmp_path / "theirs", tiny_store, **changes)
    with pytest.raises(UserError, match=message) as told:
        prepare(tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(folder)}), 1)
    assert "\n" not in str(told.value)


def test_a_file_that_the_index_names_and_is_not_there_is_named(tiny_store, tmp_path):
    folder = written("llama", tmp_path / "theirs", tiny_store)
    run = tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(folder)})
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"model-00002-of-00002.safetensors is missing, which"):
        prepare(run, 1)
    for broken in ("{", "[" * 200_000):
        (folder / "model.safetensors.index.json").write_text(broken)
        with pytest.raises(UserError, match=r"index.json is no index of files"):
            prepare(run, 1)


def test_another_shape_tells_the_settings_that_fit(tiny_store, tmp_path):
    folder = written("qwen3", tmp_path / "theirs", tiny_store)
    run = tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(folder)})
    with pytest.raises(UserError, match=r"model.qk_layernorm=True .*model.kv_channels=32$"):
        prepare(run, 1)


def test_the_shape_of_a_folder_is_a_recipe(tiny_store, tmp_path, monkeypatch, capsys):
    folder = written("qwen3", tmp_path / "theirs", tiny_store)
    code, printed, _ = call(monkeypatch, capsys, "recipes", "shape", str(folder))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(f"# Mine.\n{printed}")
    words = ["model=mine", f"init.checkpoint={folder}", f"data.store={tiny_store}", "output_dir=o"]
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(tmp_path))
    made = load_config("train", Run, words)
    assert prepare(made, 1).origin.kind == "hugging_face" and code == 0
    assert (made.model.kv_channels, made.model.make_vocab_size_divisible_by) == (32, VOCAB_SIZE)
    (folder / "model.safetensors").unlink()
    code, _, said = call(monkeypatch, capsys, "recipes", "shape", str(folder))
    assert code == 2 and "model.embed_tokens.weight is missing" in said and said.count("\n") == 1


def test_a_head_size_that_follows_from_the_others_is_none_of_its_own():
    shape = tiny_run("s", "o").model.model_dump()
    assert Model(**{**shape, "kv_channels": 16}) == Model(**shape)
    assert Model(**{**shape, "kv_channels": 32}).query_size == 128
    with pytest.raises(ValueError, match="go together in no model"):
        Model(**{**shape, "add_qkv_bias": True, "qk_layernorm": True})
