"""Tunings in this process: packing beside conversations apart, LoRA merged, what is written."""

import json
import shutil

import pytest

pytest.importorskip("trl", reason="make test-tune installs it")
pytest.importorskip("peft", reason="make test-tune installs it")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from geo_nemo.common.progress import no_progress
from geo_nemo.config import RunError, UserError
from geo_nemo.config.tune import Tune
from geo_nemo.export.loaded import load_model, load_tokenizer, open_folder
from geo_nemo.tune import train as training
from geo_nemo.tune.encode import IGNORED
from geo_nemo.tune.run import Tuning
from tests.support.exports import alpaca, write_jsonl

SETTINGS = ("config.json", "tokenizer_config.json")
SMALL = {"steps": 3, "global_batch_size": 2, "lr": 5e-3, "log_every_steps": 1, "device": "cpu"}


def config_of(base, data, output, **changes):
    values = {"model": str(base), "data": str(data), "output": str(output), **SMALL, **changes}
    return Tune.model_validate(values)


def weights_of(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def gradients(base, encoded):
    """Of the mean loss over all trained labels, each conversation by itself, in plain PyTorch."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    total, count = 0.0, 0
    for ids, labels in zip(encoded.input_ids, encoded.labels, strict=True):
        logits = model(torch.tensor([ids])).logits[0, :-1]
        total = total + torch.nn.functional.cross_entropy(
            logits, torch.tensor(labels[1:]), ignore_index=IGNORED, reduction="sum"
        )
        count += sum(label != IGNORED for label in labels[1:])
    (total / count).backward()
    return {name: each.grad for name, each in model.named_parameters()}, float(
        total.detach()
    ) / count


@pytest.mark.parametrize("packing", [True, False])
def test_gradients_are_those_of_conversations_apart(base, data, tmp_path, packing, monkeypatch):
    """One step over all of them: the gradient, as the optimizer gets it, and the loss."""
    seen = {}

    def step(self, closure=None):
        seen["grads"] = [p.grad.clone() for g in self.param_groups for p in g["params"]]
        seen["shapes"] = [p.shape for g in self.param_groups for p in g["params"]]

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    probe = Tuning(config_of(base, data, tmp_path / "probe"))
    wanted, loss = gradients(base, probe.encoded)
    sequences = 48
    if packing:
        from datasets import Dataset
        from trl.data_utils import pack_dataset

        lists = {"input_ids": probe.encoded.input_ids, "labels": probe.encoded.labels}
        sequences = len(pack_dataset(Dataset.from_dict(lists), 128, "bfd"))
        assert sequences < 30
    config = config_of(
        base, data, tmp_path / "out", method="full", packing=packing, steps=1, clip_grad=1e9,
        global_batch_size=sequences,
    )  # fmt: skip
    record = Tuning(config).run()
    assert record["trained"]["sequences"] == sequences
    # fp32 sums in another order: about 1e-6 of the largest; a conversation that sees another, or a
    # mean of means, is off by hundredths.
    assert record["trained"]["losses"][0] == pytest.approx(loss, rel=1e-4)
    found = sorted(seen["grads"], key=lambda g: (tuple(g.shape), float(g.double().norm())))
    expected = sorted(wanted.values(), key=lambda g: (tuple(g.shape), float(g.double().norm())))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine - theirs).abs().max() < 2e-5 * theirs.abs().max()


def test_an_adapter_merged_is_the_base_with_the_adapter(base, data, tmp_path):
    out = tmp_path / "out"
    record = Tuning(config_of(base, data, out, lora={"rank": 4})).run()
    assert not out.with_name("out.partial").exists()
    losses = record["trained"]["losses"]
    assert len(losses) == 3 and losses[-1] < losses[0]
    merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    adapted = load_model(
        open_folder(str(out / "adapter"), str(base)), "float32", "cpu", merge=False
    )
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokens = torch.arange(40)[None]
    with torch.no_grad():
        one, other, before = (model(tokens).logits for model in (merged, adapted, plain))
    assert (one - other).abs().max() < 1e-4 * other.abs().max()
    assert (one - before).abs().max() > 1e-2 * before.abs().max()
    tokenizer = AutoTokenizer.from_pretrained(out)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], metadata={"country": "ng"}, tokenize=False
    )
    assert text == "<s>COUNTRY: ng\nCONTINENT: Africa\n\nCONTENT: x"
    told = json.loads((out / "tune.json").read_text())
    assert sum(told["told"].values()) == told["conversations"] == 48
    assert str(tmp_path) not in (out / "tune.json").read_text()
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n---\n\n# Tuned on instructions (LoRA of rank 4)")
    assert "# tiny, step 6" in card
    assert len((out / "metrics.jsonl").read_text().splitlines()) >= 3
    trained = json.loads((out / "training.json").read_text())
    assert trained["run"] == "tiny" and trained["files"]["model.safetensors"] > 0
    again = Tuning(config_of(base, data, out, lora={"rank": 4}))
    assert again.is_done


@pytest.mark.parametrize("method", ["full", "lora"])
def test_settings_are_the_base_s_so_that_older_programs_read_them(base, data, tmp_path, method):
    """Such as rope_theta under its old name, and a tokenizer's class that transformers 4 has."""
    other = shutil.copytree(base, tmp_path / "base")
    for name, more in (
        ("config.json", {"rope_theta": 5e5}),
        ("tokenizer_config.json", {"chat_template": "another"}),
    ):
        settings = json.loads((other / name).read_text())
        (other / name).write_text(json.dumps({**settings, **more}))
    Tuning(config_of(other, data, tmp_path / "out", method=method, steps=1)).run()
    read = {n: json.loads((tmp_path / "out" / n).read_text()) for n in SETTINGS}
    before = {n: json.loads((other / n).read_text()) for n in SETTINGS}
    assert read["config.json"] == before["config.json"]
    assert before["tokenizer_config.json"].pop("chat_template") == "another"
    assert read["tokenizer_config.json"] == before["tokenizer_config.json"]
    assert load_tokenizer(open_folder(str(tmp_path / "out"))).chat_template != "another"


def test_targets_are_those_that_are_named(base, data, tmp_path):
    lora = {"rank": 2, "targets": ["q_proj", "v_proj"], "merge": False}
    Tuning(config_of(base, data, tmp_path / "out", lora=lora)).run()
    from safetensors import safe_open

    with safe_open(tmp_path / "out" / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
    assert names and all("q_proj" in name or "v_proj" in name for name in names)
    before = weights_of(base)
    model = load_model(open_folder(str(tmp_path / "out"), str(base)), "float32", "cpu")
    changed = {
        name.rpartition(".")[0].rpartition(".")[2]
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"q_proj", "v_proj"}


def test_a_target_that_does_not_exist_is_one_line_and_nothing_is_left_behind(base, data, tmp_path):
    config = config_of(base, data, tmp_path / "out", lora={"targets": ["wqkv"]})
    with pytest.raises(UserError, match=r"lora.targets names wqkv, .* there is down_proj, gate_pr"):
        Tuning(config).run()
    assert not (tmp_path / "out").exists()


def test_an_adapter_for_another_base_is_refused(base, data, tmp_path, tiny_store):
    from tests.support.exports import write_export

    Tuning(config_of(base, data, tmp_path / "out", lora={"merge": False})).run()
    other = write_export(tmp_path / "other", tiny_store, seed=1)
    with pytest.raises(UserError, match="is an adapter for another base: it was tuned on weights"):
        open_folder(str(tmp_path / "out"), str(other))
    told = "no model's folder here: give the right one as --base FOLDER"
    with pytest.raises(UserError, match=told):
        open_folder(str(tmp_path / "out"), str(tmp_path / "nowhere"))
    assert open_folder(str(tmp_path / "out")).base == base


def test_all_weights_are_tuned_and_another_setting_is_not_gone_on_with(base, data, tmp_path):
    config = config_of(base, data, tmp_path / "out", method="full", save_every_steps=1)

    def stop(stage, done, *rest):
        if stage == "tune" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tuning(config).run(stop)
    partial = tmp_path / "out.partial"
    assert training.newest_checkpoint(partial / "checkpoints").name in (
        "checkpoint-1",
        "checkpoint-2",
    )
    with pytest.raises(UserError, match=r"was begun with another lr: give what it was"):
        Tuning(config.model_copy(update={"lr": 1e-3})).run()
    Tuning(config).run(no_progress)
    straight = config.model_copy(update={"output": str(tmp_path / "straight")})
    Tuning(straight).run()
    found, expected = weights_of(tmp_path / "out"), weights_of(tmp_path / "straight")
    before = weights_of(base)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not any(torch.equal(found[name], before[name]) for name in expected)
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert (
        Tuning(config).is_done and Tuning(config.model_copy(update={"save_every_steps": 9})).is_done
    )
    other = write_jsonl(tmp_path / "d.jsonl", alpaca(8))
    for changes, named in (
        ({"lr": 1e-3}, "lr"),
        ({"seed": 1}, "data, seed"),
        ({"data": other}, "data"),
    ):
        values = {"method": "full", "save_every_steps": 1, **changes}
        given = {"data": data, **values}
        with pytest.raises(UserError, match=f"was tuned with another {named}: give another output"):
            Tuning(config_of(base, given.pop("data"), tmp_path / "out", **given)).check_done()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lora": {"targets": ["wqkv"]}}, "lora.targets names wqkv, .* there is down_proj"),
        ({"global_batch_size": 3, "micro_batch_size": 2}, "is no multiple of micro_batch_size 2"),
        ({"shard": True}, "shard=true needs a GPU for each process"),
        ({"device": "gpu"}, "torch sees no GPU here"),
    ],
    ids=["target", "batch", "shard", "device"],
)
def test_what_the_run_refuses_is_refused_before_it(base, data, tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        Tuning(config_of(base, data, tmp_path / "out", **changes)).check()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("steps", "says"), [(1, "weights are not finite"), (3, "loss of step 2 is")]
)
def test_what_is_not_finite_ends_it_and_writes_no_model(base, data, tmp_path, steps, says):
    config = config_of(base, data, tmp_path / "out", method="full", lr=1e39, steps=steps)
    with pytest.raises(RunError, match=f"{says}.*give a lower lr, and another output"):
        Tuning(config).run()
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_tuned_on_into_a_whole_model(base, data, tmp_path):
    Tuning(config_of(base, data, tmp_path / "a", lora={"merge": False})).run()
    with pytest.raises(UserError, match=r"lora.merge=false: .* is an adapter, and one on top"):
        Tuning(config_of(tmp_path / "a", data, tmp_path / "b", lora={"merge": False}))
    record = Tuning(config_of(tmp_path / "a", data, tmp_path / "b", lr=1e-9)).run()
    assert "+" in record["base"] and not (tmp_path / "b" / "adapter").exists()
    before = load_model(open_folder(str(tmp_path / "a")), "float32", "cpu").state_dict()
    after, plain = weights_of(tmp_path / "b"), weights_of(base)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.allclose(after[name], before[name], atol=1e-6)
    assert not torch.allclose(after[name], plain[name], atol=1e-4)


def test_targets_of_a_gpt_2_are_its_own(base, data, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    from geo_nemo.config import MetadataPolicy

    place = tmp_path / "gpt2"
    shape = GPT2Config(vocab_size=640, n_positions=128, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(shape).save_pretrained(place)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, place / name)
    given = {"metadata": MetadataPolicy(fields=("country",), cut="whole"), "seq_length": 128}
    lora = {"targets": ["c_attn"], "rank": 2}
    Tuning(config_of(place, data, tmp_path / "out", lora=lora, **given)).run()
    found, before = weights_of(tmp_path / "out"), weights_of(place)
    changed = {name for name in found if not torch.equal(found[name], before[name])}
    assert changed == {"transformer.h.0.attn.c_attn.weight"}
    with pytest.raises(
        UserError, match=r"lora.targets names q_proj, .* there is c_attn, c_fc, c_proj"
    ):
        Tuning(config_of(place, data, tmp_path / "o", lora={"targets": ["q_proj"]}, **given))


def test_half_a_checkpoint_is_not_gone_on_from(tmp_path):
    for step in (1, 2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (1, 2):
        (tmp_path / f"checkpoint-{step}" / training.WHOLE).write_text("{}")
    assert training.newest_checkpoint(tmp_path).name == "checkpoint-2"
    assert not (tmp_path / "checkpoint-10").exists()


def test_a_model_of_others_says_what_it_is_told(base, data, tmp_path, tiny_store):
    import shutil

    from geo_nemo.config import MetadataPolicy

    other = tmp_path / "other"
    shutil.copytree(base, other)
    (other / "training.json").unlink()
    (other / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"not trained by geo_nemo: say what .*metadata=country"):
        Tuning(config_of(other, data, tmp_path / "out"))
    policy = MetadataPolicy(fields=("country",), cut="whole")
    Tuning(config_of(other, data, tmp_path / "out", metadata=policy)).run()
    folder = open_folder(str(tmp_path / "out"))
    assert folder.policy == policy and folder.is_tuned
    text = load_tokenizer(folder).apply_chat_template(
        [{"role": "user", "content": "x"}], metadata={"country": "ng"}, tokenize=False
    )
    assert text == "<s>COUNTRY: ng\n\nCONTENT: x"
    with pytest.raises(UserError, match="has a policy of its own"):
        Tuning(config_of(base, data, tmp_path / "b", metadata=policy))
