"""A run that begins from another run's weights, or from a Hugging Face folder.

Logits of fp32 against an oracle in double precision: a logit ends a path of 8 rounded sums a layer
and 3 outside, of at most 96 products each, so it is off by at most 19 x sqrt(96) x 6e-8 of the
largest, some 1.2e-5; 5e-5 of it is allowed, and wrong heads are off by more than a hundredth.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from geo_nemo.config import Init, Parallel, Precision, Stage, UserError
from geo_nemo.model.hugging_face_config import read_shape
from geo_nemo.store import TokenStore
from geo_nemo.train import init_weights
from geo_nemo.train.masters import masters
from geo_nemo.train.origin import remote_checkpoint
from geo_nemo.train.run_record import write_record
from geo_nemo.train.setup import prepare
from tests.oracle import hugging_face_llama
from tests.support.hugging_face import llama_3, random_weights, write_folder
from tests.support.logits import own_logits
from tests.support.runs import finished, trainer, weights
from tests.support.tiny import NO_METADATA, VOCAB_SIZE, tiny_run

pytestmark = pytest.mark.usefixtures("single_process")
MODEL = tiny_run("store", "out").model
SCALED = MODEL.model_copy(update={"rotary_scaling": 32.0})
COOLDOWN = {"cooldown": Stage(fraction=1.0, metadata=NO_METADATA)}
RELATIVE = 5e-5


@pytest.fixture(scope="module")
def source(tiny_store, tmp_path_factory, single_process):
    """A finished run with an average of its weights, and its folder."""
    folder = tmp_path_factory.mktemp("source")
    return finished(tiny_store, folder, average={"kind": "ema", "decay": 0.5}), folder


@pytest.fixture
def hugging_face(tiny_store, tmp_path):
    return write_hugging_face(tiny_store, tmp_path / "llama")


def write_hugging_face(store, folder, drop=(), add=None, **changes):
    made = {**random_weights(MODEL, VOCAB_SIZE), **(add or {})}
    for name in drop:
        del made[name]
    entry = TokenStore.open(store).manifest.tokenizer
    return write_folder(folder, MODEL, made, VOCAB_SIZE, store / entry.file, **changes)


def begun(store, output, checkpoint, **changes):
    """The trainer of a cooldown that stands before its first step."""
    init = {"checkpoint": str(checkpoint), **changes.pop("init", {})}
    made = trainer(tiny_run(store, output, stages=COOLDOWN, init=init, **changes))
    made.resume()
    return made


def stepped(made):
    return [master.values.clone() for master in masters(made.engine)]


def equal(these, those):
    pairs = zip(these, those, strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("distributed", [True, False], ids=["distributed optimizer", "plain"])
def test_it_begins_with_the_very_weights_and_all_else_anew(
    source, tiny_store, tmp_path, distributed
):
    other, folder = source
    parallel = Parallel(distributed_optimizer=distributed)
    drawn = trainer(tiny_run(tiny_store, tmp_path / "drawn", stages=COOLDOWN, parallel=parallel))
    made = begun(tiny_store, tmp_path / "cooldown", folder, parallel=parallel)
    ours, theirs = weights(made), weights(other)
    assert equal(ours.values(), theirs.values())
    assert not equal(ours.values(), weights(drawn).values())
    assert (made.step, made.engine.schedule.num_steps, made.ledger.notes) == (0, 0, [])
    assert made.engine.optimizer.param_groups[0]["lr"] == 0.0  # the warm-up's
    # No moments came along: its first step is that of AdamW at these weights.
    states = [state for o in made.engine.optimizer.chained_optimizers for state in o.state.values()]
    assert all(not state["exp_avg"].any() for state in states if "exp_avg" in state)
    assert made.fit() and made.step == 6


@pytest.mark.parametrize("distributed", [True, False], ids=["distributed optimizer", "plain"])
def test_under_bf16_it_begins_with_the_fp32_weights_of_the_other_s_optimizer(
    tiny_store, tmp_path, single_process, distributed
):
    of_source = {"precision": Precision(dtype="bf16"), "parallel": {"distributed_optimizer": True}}
    if not distributed:
        of_source["parallel"] = {"distributed_optimizer": False}
    other = finished(tiny_store, tmp_path / "source", **of_source)
    made = begun(
        tiny_store, tmp_path / "cooldown", tmp_path / "source", precision=Precision(dtype="bf16")
    )
    exact = {id(m.parameter): m.values for m in masters(other.engine)}
    wanted = [exact[id(p)] for p in other.engine.parameters()]
    found = {id(m.parameter): m.values for m in masters(made.engine)}
    assert equal([found[id(p)] for p in made.engine.parameters()], wanted)
    assert equal(weights(made).values(), weights(other).values())
    rounded = [w.float().flatten() for w in weights(other).values()]
    assert not equal(wanted, rounded), "bf16 weights would do as well: the test shows nothing"


def test_the_average_may_be_what_it_begins_with(source, tiny_store, tmp_path):
    other, folder = source
    with other.average.applied():
        averaged = weights(other)
    made = begun(tiny_store, tmp_path, folder, init={"weights": "average"})
    assert equal(weights(made).values(), averaged.values())
    assert not equal(averaged.values(), weights(other).values())


def test_an_average_of_its_own_begins_with_them(source, tiny_store, tmp_path):
    made = begun(tiny_store, tmp_path, source[1], average={"kind": "ema", "decay": 0.5})
    with made.average.applied():
        assert equal(weights(made).values(), weights(source[0]).values())


def test_of_a_bucket_it_is_fetched_and_nothing_stays(source, tiny_store, tmp_path, bucket):
    other, folder = source
    newest = folder / "checkpoints" / "step_00000006"
    for path in newest.iterdir():
        bucket.put(f"runs/a/{newest.name}/{path.name}", path.read_bytes())
    address = bucket.address("runs/a")
    made = begun(tiny_store, tmp_path / "a", address)
    assert equal(weights(made).values(), weights(other).values())
    assert made.prepared.origin.place == f"{address}/step_00000006"
    assert not (tmp_path / "a" / "init").exists()
    bucket.damage("runs/a/step_00000006/__0_0.distcp")
    with pytest.raises(UserError, match="is not whole: "):
        begun(tiny_store, tmp_path / "b", f"{address}/step_00000006")


def test_a_run_in_a_bucket_may_be_called_as_a_checkpoint_begins(source, bucket):
    for path in (source[1] / "checkpoints" / "step_00000006").iterdir():
        bucket.put(f"runs/step_twice/step_00000006/{path.name}", path.read_bytes())
    address = bucket.address("runs/step_twice")
    for given in (address, f"{address}/step_00000006"):
        place, record = remote_checkpoint(given)
        assert (place, record["step"]) == (f"{address}/step_00000006", 6)


def test_what_was_fetched_goes_when_every_rank_has_read_it(
    source, tiny_store, tmp_path, bucket, monkeypatch
):
    for path in (source[1] / "checkpoints" / "step_00000006").iterdir():
        bucket.put(f"runs/a/step_00000006/{path.name}", path.read_bytes())
    fetched, waits = tmp_path / "run" / "init" / "step_00000006", []
    monkeypatch.setattr(init_weights, "meet", lambda: waits.append(sorted(fetched.iterdir())))
    begun(tiny_store, tmp_path / "run", bucket.address("runs/a"))
    assert len(waits) == 1 and fetched / "geo_nemo.json" in waits[0]


def test_it_goes_on_from_its_own_checkpoints_when_the_source_is_gone(source, tiny_store, tmp_path):
    shutil.copytree(source[1], tmp_path / "source")
    made = begun(tiny_store, tmp_path / "run", tmp_path / "source")
    (tmp_path / "run").mkdir(exist_ok=True)
    write_record(made.prepared, 1)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["init"]["run"], record["init"]["step"]) == ("tiny", 6)
    made.step = 1
    made.save()
    made.checkpoints.finish()
    shutil.rmtree(tmp_path / "source")
    assert begun(tiny_store, tmp_path / "run", tmp_path / "source").step == 1
    # Without a checkpoint of its own it needs the source, and not another one in its place.
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UserError, match="neither a checkpoint of geo_nemo"):
        begun(tiny_store, tmp_path / "run", tmp_path / "source")
    shutil.copytree(source[1], tmp_path / "source")
    newest = tmp_path / "source" / "checkpoints"
    shutil.rmtree(newest / "step_00000006")
    (newest / "step_00000003").rename(newest / "step_00000006")
    with pytest.raises(UserError, match="was changed since this run began from it"):
        begun(tiny_store, tmp_path / "run", tmp_path / "source")


def test_a_newest_checkpoint_that_lacks_a_file_is_told_and_passed_over(
    source, tiny_store, tmp_path, capsys
):
    shutil.copytree(source[1], tmp_path / "source")
    (tmp_path / "source" / "checkpoints" / "step_00000006" / "common.pt").unlink()
    run = tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(tmp_path / "source")})
    assert prepare(run, 1).origin.step == 3
    assert "common.pt is missing; step_00000003 is used" in capsys.readouterr().err


def test_other_first_weights_make_another_run(source, tiny_store, tmp_path):
    run = tiny_run(tiny_store, tmp_path, stages=COOLDOWN)
    folder = source[1] / "checkpoints"
    prints = {
        str(init): prepare(run.model_copy(update={"init": init and Init(**init)}), 1).fingerprint
        for init in (
            None,
            {"checkpoint": str(folder.parent)},
            {"checkpoint": str(folder / "step_00000003")},
            {"checkpoint": str(folder / "step_00000006"), "weights": "average"},
        )
    }
    assert len({found.get("init") for found in prints.values()}) == 4
    moved = tmp_path / "moved"
    shutil.copytree(folder / "step_00000006", moved)
    moved_run = run.model_copy(update={"init": Init(checkpoint=str(moved))})
    assert prepare(moved_run, 1).fingerprint == list(prints.values())[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": MODEL.model_copy(update={"num_layers": 4})}, "it has model.num_layers=2$"),
        (
            {"model": MODEL.model_copy(update={"make_vocab_size_divisible_by": 512})},
            "it has model.make_vocab_size_divisible_by=128$",
        ),
    ],
)
def test_another_shape_is_one_line_before_anything_starts(
    source, tiny_store, tmp_path, changes, message
):
    run = tiny_run(tiny_store, tmp_path, init={"checkpoint": str(source[1])}, **changes)
    with pytest.raises(UserError, match=f"is of another shape than the run: {message}"):
        prepare(run, 1)


def test_another_tokenizer_and_a_lacking_average_are_one_line(tiny_store, tmp_path, source):
    from geo_nemo.train.origin import look_up

    run = tiny_run(tiny_store, tmp_path, init={"checkpoint": str(source[1])})
    tokenizer = TokenStore.open(tiny_store).tokenizer()
    tokenizer.sha256 = "0" * 64
    with pytest.raises(UserError, match=r"another tokenizer \(.{16}\) than the store's \(0{16}\)"):
        look_up(run, tokenizer)
    plain = finished(tiny_store, tmp_path / "plain").directory
    run = tiny_run(tiny_store, tmp_path, init={"checkpoint": str(plain), "weights": "average"})
    with pytest.raises(UserError, match="has no average of the weights"):
        prepare(run, 1)


def test_logits_of_a_hugging_face_folder_are_the_oracle_s(hugging_face, tiny_store, tmp_path):
    made = begun(tiny_store, tmp_path / "run", hugging_face)
    tokens = torch.randint(0, VOCAB_SIZE, (64,), generator=torch.Generator().manual_seed(3))
    given = {n: torch.from_numpy(w).double() for n, w in random_weights(MODEL, VOCAB_SIZE).items()}
    config = json.loads((hugging_face / "config.json").read_text())
    expected = hugging_face_llama.logits(given, config, tokens)
    largest = expected.abs().max()
    measured = own_logits(made.engine.module, tokens)
    assert (measured - expected).abs().max() < RELATIVE * largest
    # The tolerance can tell another order of heads.
    name = "model.layers.0.self_attn.q_proj.weight"
    given[name] = given[name].roll(16, 0)
    turned = hugging_face_llama.logits(given, config, tokens)
    assert (turned - expected).abs().max() > 0.01 * largest
    assert made.fit()


def test_logits_of_a_folder_with_scaled_rotary_positions_are_the_oracle_s(tiny_store, tmp_path):
    folder = write_hugging_face(tiny_store, tmp_path / "llama", rope_scaling=llama_3(32.0))
    made = begun(tiny_store, tmp_path / "run", folder, model=SCALED)
    tokens = torch.randint(0, VOCAB_SIZE, (128,), generator=torch.Generator().manual_seed(5))
    given = {n: torch.from_numpy(w).double() for n, w in random_weights(MODEL, VOCAB_SIZE).items()}
    config = json.loads((folder / "config.json").read_text())
    expected = hugging_face_llama.logits(given, config, tokens)
    largest = expected.abs().max()
    assert (own_logits(made.engine.module, tokens) - expected).abs().max() < RELATIVE * largest
    # The tolerance can tell another factor.
    config["rope_scaling"]["factor"] = 8.0
    other = hugging_face_llama.logits(given, config, tokens)
    assert (other - expected).abs().max() > 10 * RELATIVE * largest
    assert prepare(made.run, 1).fingerprint["model.rotary_scaling"] == "32.0"
    plain = prepare(tiny_run(tiny_store, tmp_path / "plain"), 1)
    assert "model.rotary_scaling" not in plain.fingerprint


@pytest.mark.parametrize("scaled", [False, True])
def test_logits_of_a_hugging_face_folder_are_those_of_transformers(tiny_store, tmp_path, scaled):
    changes = {"rope_scaling": llama_3(32.0)} if scaled else {}
    hugging_face = write_hugging_face(tiny_store, tmp_path / "llama", **changes)
    made = begun(tiny_store, tmp_path / "run", hugging_face, model=SCALED if scaled else MODEL)
    model = LlamaForCausalLM.from_pretrained(hugging_face, dtype=torch.float64)
    tokens = torch.randint(0, VOCAB_SIZE, (64,), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = model(tokens[None]).logits[0]
    difference = own_logits(made.engine.module, tokens) - expected
    assert difference.abs().max() < RELATIVE * expected.abs().max()


def test_bf16_numbers_are_read_exactly(tiny_store, tmp_path, single_process):
    exact = random_weights(MODEL, VOCAB_SIZE)
    halves = {name: (w.view(np.uint32) >> 16).astype(np.uint16) for name, w in exact.items()}
    folder = write_hugging_face(tiny_store, tmp_path / "llama", add=halves)
    made = begun(tiny_store, tmp_path / "run", folder)
    table = (exact["lm_head.weight"].view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert torch.equal(weights(made)["output_layer.weight"], torch.from_numpy(table))


LAYER = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, "another shape than the run: it has model.num_layers=3$"),
        ({"rope_theta": 5e5}, "it has model.rotary_base=500000.0$"),
        ({"rope_scaling": llama_3(8.0)}, "it has model.rotary_scaling=8.0$"),
        (
            {"rope_scaling": {**llama_3(8.0), "high_freq_factor": 2}},
            r"positions are scaled \(llama3\) otherwise than Llama 3.1's",
        ),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, r"positions are scaled \(yarn\)"),
        (
            {"model_type": "gemma"},
            "is 'gemma'; llama, mistral, qwen2 and qwen3 are read$",
        ),
        ({"attention_bias": True}, "attention_bias=True, which this model does not have"),
        ({"drop": [LAYER]}, f"llama: {LAYER} is missing$"),
        ({"add": {"a.b": np.zeros(2, np.float32)}}, "llama: a.b has no place in the model$"),
        (
            {"add": {LAYER: np.zeros((64, 96), np.float32)}},
            rf"{LAYER} has the shape \[64, 96\], not \[96, 64\]$",
        ),
        (
            {
                "add": {
                    "model.embed_tokens.weight": np.zeros((512, 64), np.float32),
                    "lm_head.weight": np.zeros((512, 64), np.float32),
                }
            },
            "its vocabulary has 512 tokens, and the store's tokenizer 640; ",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_one_line(tiny_store, tmp_path, changes, message):
    folder = write_hugging_face(tiny_store, tmp_path / "llama", **changes)
    run = tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(folder)})
    with pytest.raises(UserError, match=message) as told:
        prepare(run, 1)
    assert "\n" not in str(told.value)


def test_the_tokenizer_of_a_folder_must_be_the_store_s_or_be_vouched_for(
    hugging_face, tiny_store, tmp_path
):
    init = {"checkpoint": str(hugging_face)}
    (hugging_face / "tokenizer.model").write_bytes(b"another")
    with pytest.raises(UserError, match=r"tokenizer.model .{16}, but the store's tokenizer is"):
        prepare(tiny_run(tiny_store, tmp_path / "run", init=init), 1)
    prepare(tiny_run(tiny_store, tmp_path / "run", init={**init, "same_tokenizer": True}), 1)


@pytest.mark.parametrize("cut", [3, 100, -1], ids=["no header", "half a header", "a byte short"])
def test_a_file_that_is_cut_off_is_one_line(hugging_face, tiny_store, tmp_path, cut):
    path = sorted(hugging_face.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match="is no safetensors file, or is cut off"):
        prepare(tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(hugging_face)}), 1)


def test_files_nested_deeper_than_can_be_read_are_one_line(hugging_face, tiny_store, tmp_path):
    path, deep = sorted(hugging_face.glob("*.safetensors"))[0], b"[" * 200_000
    path.write_bytes(len(deep).to_bytes(8, "little") + deep)
    with pytest.raises(UserError, match="is no safetensors file, or is cut off"):
        prepare(tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(hugging_face)}), 1)
    (hugging_face / "config.json").write_bytes(deep)
    with pytest.raises(UserError, match="is not JSON with a model's settings"):
        read_shape(hugging_face)


def test_what_is_no_source_is_one_line(tiny_store, tmp_path):
    with pytest.raises(UserError, match="neither a checkpoint of geo_nemo"):
        prepare(tiny_run(tiny_store, tmp_path / "run", init={"checkpoint": str(tmp_path)}), 1)
