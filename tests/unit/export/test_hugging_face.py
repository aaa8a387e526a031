"""A run as a Hugging Face folder: the oracle's logits, the very numbers, whole or absent."""

import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, LlamaForCausalLM

from geo_nemo.common.lock import folder_lock
from geo_nemo.config import MetadataPolicy, Precision, Stage, UserError
from geo_nemo.export import hugging_face, plan, weights
from geo_nemo.export.card_parts import COUNTED
from geo_nemo.export.hugging_face import INDEX, export
from geo_nemo.export.place import BEGUN, FETCHED, RECORD
from geo_nemo.export.source import find_source
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.model.hugging_face_names import Parameter
from geo_nemo.store import TokenStore
from geo_nemo.train.checkpoint.files import (
    file_record,
    listed_files,
    newest_whole,
    read_record,
    write_record,
)
from geo_nemo.train.masters import masters
from geo_nemo.train.setup import prepare
from tests.oracle import hugging_face_llama
from tests.support.logits import own_logits
from tests.support.runs import finished, trainer
from tests.support.tiny import NO_METADATA, VOCAB_SIZE, tiny_run

pytestmark = pytest.mark.usefixtures("single_process")
MODEL = tiny_run("store", "out").model
# fp32 against double: tests/unit/train/test_init_weights.py derives it.
RELATIVE = 5e-5
STEP = "step_00000006"
TEXTS = (".json", ".md")


def wide(**changes):
    """A model whose weights matter: of what is drawn with 0.05, little comes through."""
    return MODEL.model_copy(update={"init_method_std": 0.2, **changes})


@pytest.fixture(scope="module")
def run_dir(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("run")
    finished(tiny_store, output, model=wide(), average={"kind": "ema", "decay": 0.5})
    return output


@pytest.fixture
def half_run(tiny_store, tmp_path):
    """A finished run in bf16, and its trainer."""
    made = finished(tiny_store, tmp_path / "half", precision=Precision(dtype="bf16"))
    return made, tmp_path / "half"


def exported(run, out, dtype="fp32", kind="trained", tokenizer=None):
    export(find_source(str(run), tokenizer, out.parent), out, dtype, kind)
    return out


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


def random_tokens(count=64, seed=3):
    return torch.randint(0, VOCAB_SIZE, (count,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "changes",
    [{}, {"share_embeddings_and_output_weights": True}, {"rotary_scaling": 32.0},
     {"num_query_groups": 4}, {"num_query_groups": 1}],
    ids=["plain", "tied", "scaled positions", "a group a head", "one group"],
)  # fmt: skip
def test_logits_are_those_of_the_oracle_and_of_transformers(tiny_store, tmp_path, changes):
    made = finished(tiny_store, tmp_path / "run", model=wide(**changes))
    folder = exported(tmp_path / "run", tmp_path / "out")
    tokens = random_tokens(128)
    measured = own_logits(made.engine.module, tokens)[:, :VOCAB_SIZE]
    config = json.loads((folder / "config.json").read_text())
    read = {name: tensor.double() for name, tensor in tensors_of(folder).items()}
    read.setdefault("lm_head.weight", read["model.embed_tokens.weight"])
    if config["rope_scaling"] is None:
        del config["rope_scaling"]
    expected = hugging_face_llama.logits(read, config, tokens)
    largest = expected.abs().max()
    assert (measured - expected).abs().max() < RELATIVE * largest
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        theirs = model(tokens[None]).logits[0]
    assert (measured - theirs).abs().max() < RELATIVE * largest
    # The tolerance can tell another order of heads.
    name = "model.layers.0.self_attn.q_proj.weight"
    read[name] = read[name].roll(16, 0)
    turned = hugging_face_llama.logits(read, config, tokens)
    assert (turned - expected).abs().max() > 100 * RELATIVE * largest


def test_bf16_is_what_the_run_computed_with_and_fp32_what_its_optimizer_stepped(
    half_run, tiny_store, tmp_path
):
    made, run = half_run
    begun = {}
    for dtype in ("bf16", "fp32"):
        folder = exported(run, tmp_path / dtype, dtype)
        assert {str(t.dtype) for t in tensors_of(folder).values()} == {
            {"bf16": "torch.bfloat16", "fp32": "torch.float32"}[dtype]
        }
        init = {"checkpoint": str(folder)}
        changes = {"stages": {"cooldown": Stage(fraction=1.0, metadata=NO_METADATA)}, "init": init}
        other = trainer(
            tiny_run(
                tiny_store, tmp_path / f"of_{dtype}", precision=Precision(dtype="bf16"), **changes
            )
        )
        other.resume()
        begun[dtype] = [master.values.clone() for master in masters(other.engine)]
    stepped = list(masters(made.engine))
    computed = [each.parameter.detach().float().view(-1) for each in stepped]
    assert all(
        torch.equal(found, each.values) for found, each in zip(begun["fp32"], stepped, strict=True)
    )
    assert all(
        torch.equal(found, whole[each.first : each.first + len(found)])
        for found, whole, each in zip(begun["bf16"], computed, stepped, strict=True)
    )
    assert not all(map(torch.equal, *begun.values())), "bf16 would do as well: nothing is shown"


def test_the_average_is_exported(run_dir, tmp_path):
    trained = tensors_of(exported(run_dir, tmp_path / "trained"))
    averaged = tensors_of(exported(run_dir, tmp_path / "average", kind="average"))
    read = weights.CheckpointWeights(
        run_dir / "checkpoints" / STEP, wide(), VOCAB_SIZE, "average"
    ).read([Parameter("decoder.layers.mlp.linear_fc1.weight", 1)])
    ((_, whole),) = read
    assert torch.equal(averaged["model.layers.1.mlp.gate_proj.weight"], whole[:96])
    assert torch.equal(averaged["model.layers.1.mlp.up_proj.weight"], whole[96:])
    assert not torch.equal(trained["lm_head.weight"], averaged["lm_head.weight"])


def test_a_prompt_has_the_ids_that_training_had(run_dir, tiny_store, tmp_path):
    folder = exported(run_dir, tmp_path / "out")
    tokenizer = TokenStore.open(tiny_store).tokenizer()
    record = MetadataRecord("bbc.co.uk", "gb", "Europe")
    title, body = " Rail fares rise\n\n", " The price of"
    composed = Composer(MetadataPolicy(), tokenizer).compose(
        record, tokenizer.encode(title), tokenizer.encode(body)
    )
    text = f"URL: bbc.co.uk\nCOUNTRY: gb\nCONTINENT: Europe\n\nTITLE:{title}CONTENT:{body}"
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs(text)["input_ids"] == composed.ids[:-1].tolist()
    assert (theirs.bos_token_id, theirs.eos_token_id) == (tokenizer.bos_id, tokenizer.eos_id)
    assert theirs.pad_token_id == tokenizer.pad_id and len(theirs) == tokenizer.vocab_size
    card = (folder / "README.md").read_text()
    assert text.partition(" Rail")[0] in card and "The last stage, cooldown, had no" in card
    assert "the model does not write them: behind a title, give `CONTENT:` too" in card
    assert "| condition | 3 | URL, COUNTRY, CONTINENT | " in card


def test_what_it_was_trained_on_is_told_without_a_path_of_the_machine(run_dir, tmp_path):
    folder = exported(run_dir, tmp_path / "out")
    told = json.loads((folder / RECORD).read_text())
    saved = read_record(run_dir / "checkpoints" / STEP)
    assert (told["run"], told["step"], told["ledger"]) == ("tiny", 6, saved["ledger"])
    assert told["fingerprint"] == saved["fingerprint"]
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.suffix in TEXTS}
    assert len(texts) == 6 and all(str(tmp_path.parent) not in text for text in texts.values())
    config, generation = (
        json.loads(texts[f"{name}.json"]) for name in ("config", "generation_config")
    )
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    assert generation == ids and ids.items() <= config.items()
    assert (config["torch_dtype"], config["max_position_embeddings"]) == ("float32", 128)
    assert told["files"] == {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }


def test_whose_documents_it_read_is_told_as_the_ledger_counts(run_dir, tmp_path):
    folder = exported(run_dir, tmp_path / "out")
    ledger = json.loads((folder / RECORD).read_text())["ledger"]
    with (folder / "hosts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told, counted = Counter(), Counter()
    for row in rows:
        told.update({(row["country"], key): int(row[key]) for key in COUNTED})
    for stage in ledger["stages"].values():
        for country, of in stage["trained"]["by_country"].items():
            counted.update({(country, key): of[key] for key in COUNTED})
    assert told == counted and len({row["host"] for row in rows}) > 3
    card = (folder / "README.md").read_text()
    assert f"| {rows[0]['host']} | {rows[0]['country']} | " in card


def test_without_the_run_s_index_no_hosts_are_told(run_dir, tmp_path):
    moved = shutil.copytree(run_dir, tmp_path / "run", ignore=shutil.ignore_patterns("index"))
    folder = exported(moved, tmp_path / "out")
    assert not (folder / "hosts.csv").exists()
    assert "its packing index was not at hand" in (folder / "README.md").read_text()


@pytest.fixture
def small_files(monkeypatch):
    """Several files, and several reads for each."""
    monkeypatch.setattr(plan, "FILE_BYTES", 90_000)
    monkeypatch.setattr(weights, "READ_BYTES", 40_000)


def test_several_files_hold_the_same_as_one(run_dir, tmp_path, small_files, monkeypatch):
    several = exported(run_dir, tmp_path / "several")
    index = json.loads((several / INDEX).read_text())
    files = sorted(path.name for path in several.glob("*.safetensors"))
    assert len(files) > 4 and files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    assert max((several / name).stat().st_size for name in files) < 180_000
    for name, place in index["weight_map"].items():
        with safe_open(several / place, "pt") as file:
            assert name in file.keys()  # noqa: SIM118
    monkeypatch.undo()
    one = exported(run_dir, tmp_path / "one")
    assert [path.name for path in one.glob("*.safetensors")] == ["model.safetensors"]
    ours, theirs = tensors_of(several), tensors_of(one)
    assert ours.keys() == theirs.keys() == index["weight_map"].keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    sizes = sum(tensor.nbytes for tensor in ours.values())
    assert index["metadata"] == {"total_size": sizes, "total_parameters": sizes // 4}
    LlamaForCausalLM.from_pretrained(several)


def test_what_was_stopped_goes_on_behind_its_whole_files(
    run_dir, tmp_path, small_files, monkeypatch
):
    out, save, calls = tmp_path / "out", hugging_face._save, []

    def stops(path, tensors):
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(path, tensors)

    monkeypatch.setattr(hugging_face, "_save", stops)
    with pytest.raises(KeyboardInterrupt):
        exported(run_dir, out)
    partial = out.with_name("out.partial")
    (partial / ".tmp_of_a_library").write_bytes(b"half a file")
    assert not out.exists() and len(list(partial.glob("*.safetensors"))) == 2
    exported(run_dir, out)
    assert calls[3] == calls[2] and len(calls) == len(set(calls)) + 1
    assert not partial.exists()
    names = {path.name for path in out.iterdir()}
    assert names - {n for n in names if n.startswith("model-")} == {
        "config.json", "generation_config.json", INDEX, RECORD, "README.md", "tokenizer.json",
        "tokenizer_config.json", "tokenizer.model", "chat_template.jinja", "hosts.csv",
    }  # fmt: skip
    modes = {path.stat().st_mode & 0o777 for path in out.iterdir()}
    assert modes == {0o666 & ~_umask()}
    monkeypatch.setattr(hugging_face, "_save", None)
    assert export(find_source(str(run_dir), None, tmp_path), out, "fp32").was_there


def _umask():
    found = os.umask(0)
    os.umask(found)
    return found


def test_of_another_export_that_was_stopped_nothing_stays(
    run_dir, tmp_path, small_files, monkeypatch
):
    out, save = tmp_path / "out", hugging_face._save

    def stops(path, tensors):
        save(path, tensors)
        raise KeyboardInterrupt

    monkeypatch.setattr(hugging_face, "_save", stops)
    with pytest.raises(KeyboardInterrupt):
        exported(run_dir, out)
    monkeypatch.undo()
    found = tensors_of(exported(run_dir, out, "bf16"))
    assert {tensor.dtype for tensor in found.values()} == {torch.bfloat16}


def test_a_bucket_s_checkpoint_and_store_are_fetched_and_nothing_stays(
    run_dir, tiny_store, tmp_path, bucket
):
    newest = run_dir / "checkpoints" / STEP
    for path in newest.iterdir():
        bucket.put(f"runs/a/{STEP}/{path.name}", path.read_bytes())
    for name in ("manifest.json", "tokenizer.model"):  # no more of a store is read
        bucket.put(f"store/{name}", (tiny_store / name).read_bytes())
    out = exported(bucket.address("runs/a"), tmp_path / "out", "fp32", "trained",
                   bucket.address("store"))  # fmt: skip
    ours, theirs = tensors_of(out), tensors_of(exported(run_dir, tmp_path / "b"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not (out / FETCHED).exists()
    bucket.damage(f"runs/a/{STEP}/__0_0.distcp")
    with pytest.raises(UserError, match="is not whole: "):
        exported(bucket.address("runs/a"), tmp_path / "c", tokenizer=bucket.address("store"))


def test_numbers_that_are_not_finite_are_one_line(run_dir, tmp_path, monkeypatch):
    add = weights._Into.add

    def damaged(into, *place):
        add(into, *place)
        into.resolve_tensor = lambda item: torch.empty(item.lengths)  # so that nothing arrives

    monkeypatch.setattr(weights._Into, "add", damaged)
    with pytest.raises(UserError, match=r"model.embed_tokens.weight has numbers that are not fin"):
        exported(run_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_at_once_in_one_folder_are_one_line(run_dir, tmp_path):
    with (
        folder_lock(tmp_path / "out.partial"),
        pytest.raises(UserError, match="another process is writing in"),
    ):
        exported(run_dir, tmp_path / "out")


def test_a_checkpoint_with_a_changed_byte_is_one_line(run_dir, tmp_path):
    copy = tmp_path / STEP
    shutil.copytree(run_dir / "checkpoints" / STEP, copy)
    with (copy / "__0_0.distcp").open("r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    with pytest.raises(UserError, match=r"is not whole: __0_0.distcp was changed"):
        exported(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_model_than_its_record_tells_of_is_one_line(run_dir, tmp_path):
    copy = tmp_path / STEP
    shutil.copytree(run_dir / "checkpoints" / STEP, copy)
    record = read_record(copy)
    files = listed_files(record)
    record["config"]["model"]["ffn_hidden_size"] = 128
    content = {k: v for k, v in record.items() if k not in ("files", "format", "sha256")}
    write_record(copy, content, {name: file_record(copy / name) for name in files})
    with pytest.raises(UserError, match=r"linear_fc1.weight has the shape \[2, 192, 64\], where"):
        exported(copy, tmp_path / "out")


def test_another_tokenizer_is_one_line(run_dir, tmp_path, tiny_store):
    from tests.unit.data_prep.tokenise.worlds import WRITERS

    other = WRITERS["tokenizer.model"](tmp_path / "tokenizer.model")
    with pytest.raises(UserError, match=r"another tokenizer \(.{16}\) than the run was trained"):
        exported(run_dir, tmp_path / "out", tokenizer=str(other))
    assert prepare(tiny_run(tiny_store, run_dir), 1).tokenizer.sha256  # the store's own is there


def test_an_export_that_lost_a_file_is_not_there_already(run_dir, tmp_path):
    whole = exported(run_dir, tmp_path / "out")
    (whole / ".gitattributes").write_text("what a user adds")
    source = find_source(str(run_dir), None, tmp_path)
    assert export(source, whole, "fp32").was_there
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        copy = tmp_path / name
        shutil.copytree(whole, copy)
        (copy / name).unlink()
        with pytest.raises(UserError, match="is there already: remove it"):
            export(source, copy, "fp32")


def test_a_file_that_was_cut_off_in_a_stopped_export_is_written_again(run_dir, tmp_path):
    whole = exported(run_dir, tmp_path / "whole")
    partial = tmp_path / "out.partial"
    shutil.copytree(whole, partial)
    record = json.loads((partial / RECORD).read_text())
    del record["files"]
    (partial / RECORD).rename(partial / BEGUN)
    (partial / BEGUN).write_text(json.dumps(record))
    os.truncate(partial / "model.safetensors", 1000)
    out = exported(run_dir, tmp_path / "out")
    expected = (whole / "model.safetensors").read_bytes()
    assert (out / "model.safetensors").read_bytes() == expected


def test_a_user_s_folder_of_the_partial_one_s_name_is_left(run_dir, tmp_path):
    (tmp_path / "out.partial" / "sub").mkdir(parents=True)
    (tmp_path / "out.partial" / "thesis.txt").write_text("a user's")
    with pytest.raises(UserError, match=r"out.partial is there and is no export that was stopped"):
        exported(run_dir, tmp_path / "out")
    (tmp_path / "b.partial").write_text("a user's")
    with pytest.raises(UserError, match=r"b.partial is there and is no export"):
        exported(run_dir, tmp_path / "b")
    assert (tmp_path / "out.partial" / "thesis.txt").read_text() == "a user's"
    assert (tmp_path / "b.partial").read_text() == "a user's"


def test_among_checkpoints_is_no_place(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    for out in (checkpoints / STEP / "hf", checkpoints / "step_00000007"):
        with pytest.raises(UserError, match="is among checkpoints, which it would spoil"):
            exported(tmp_path / "run", out)
    assert newest_whole(checkpoints).name == STEP
    # Beside other folders that are called by steps it may stand.
    exported(run_dir, tmp_path / "step_6")
    exported(run_dir, tmp_path / "step_6_again")


def test_one_that_another_process_wrote_meanwhile_is_there(run_dir, tmp_path, monkeypatch):
    out, lock, source = tmp_path / "out", hugging_face.folder_lock, find_source(
        str(run_dir), None, tmp_path
    )  # fmt: skip

    def late(folder):
        monkeypatch.setattr(hugging_face, "folder_lock", lock)
        export(source, out, "fp32")
        return lock(folder)

    monkeypatch.setattr(hugging_face, "folder_lock", late)
    assert export(source, out, "fp32").was_there
    assert not (tmp_path / "out.partial").exists() and not (out / ".lock").exists()


def test_a_mount_point_is_one_line_before_anything_is_written(run_dir, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "out")
    with pytest.raises(UserError, match="is a mount point: give a folder in it"):
        exported(run_dir, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_control_tokens_that_a_file_alone_does_not_tell_are_compared(run_dir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    (copy / "run.json").write_text(json.dumps({"control_tokens": {"bos": 5, "eos": 2, "pad": 2}}))
    with pytest.raises(
        UserError, match=r"has the control tokens {'bos': 1.*trained with {'bos': 5"
    ):
        exported(copy, tmp_path / "out")
