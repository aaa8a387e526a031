"""The whole preparation: its store, its account, its reuse, and its end by force."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_prep.narrow_config import Prep
from data_prep.corpus_files import read_lines, read_summary
from data_prep.prepare import plan, prepare
from geo_nemo.config import UserError
from geo_nemo.store import TokenStore
from tests.unit.data_prep.worlds import record, records, write_jsonl

TOKENIZER = {"vocab_size": 400}
ALL_TRAIN = {"train": 1, "validation": 0, "test": 0}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    path = write_jsonl(folder / "in.jsonl", [*records(90), b"{", record(200, title=None)])
    config = Prep(input=str(path), output=str(folder / "out"), tokenizer=TOKENIZER)
    return config, prepare(config)


def small(tmp_path, count=30, **changes):
    path = tmp_path / "in.jsonl"
    if not path.exists():
        write_jsonl(path, records(count))
    return Prep(input=str(path), output=str(tmp_path / "out"), tokenizer=TOKENIZER, **changes)


def contents(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_the_store_holds_the_corpus(prepared):
    config, report = prepared
    store = TokenStore.open(report.store, check_hashes=True)
    tokenizer = store.tokenizer()
    summary = read_summary(Path(config.output, "corpus"))
    seen = 0
    for name in ("train", "validation", "test"):
        if not summary.splits[name].documents:
            continue
        split = store.split(name)
        lines = [
            json.loads(line)
            for file in summary.splits[name].files
            for batch in read_lines(store.root.parent / "corpus" / file.name, 50)
            for line in batch
        ]
        assert len(split) == len(lines)
        for i, line in enumerate(lines):
            assert tokenizer.decode(split.body(i)) == " " + line["text"]
            title = f" {line['title']}\n\n" if line["title"] else ""
            assert tokenizer.decode(split.title(i)) == title
            found = split.record(i)
            assert (found.host, found.country, found.continent, found.path) == (
                line["host"], line["country"], line["continent"], line["path"],
            )  # fmt: skip
            assert int(split.content_hash[i]) == int(line["hash"][:16], 16)
            seen += 1
    assert seen == report.kept == 91


def test_the_account_adds_up(prepared):
    _, report = prepared
    assert (report.read, report.kept, report.quarantine) == (92, 91, {"broken_json": 1})
    store = TokenStore.open(report.store)
    for name, split in report.splits.items():
        assert split.documents == sum(c.documents for c in split.by_country.values())
        assert split.tokens == sum(c.tokens for c in split.by_country.values())
        if split.documents:
            read = store.split(name)
            assert split.tokens == read.title_lengths.sum() + read.body_lengths.sum()
    assert report.splits["test"].by_country.keys() == {"gb", "ke", "us"}
    kept = json.loads(Path(report.output, "report.json").read_bytes())
    assert kept == report.model_dump(mode="json")


def test_a_second_run_reuses_every_stage_and_changes_nothing(prepared):
    config, report = prepared
    store = Path(report.store)
    before = contents(store)
    again = prepare(config)
    assert all(stage.reused for stage in again.stages.values())
    assert again.megabytes_per_second is None
    assert contents(store) == before
    assert again.store_hash == report.store_hash


def test_a_run_elsewhere_gives_the_same_store(prepared, tmp_path):
    config, report = prepared
    other = prepare(config.model_copy(update={"output": str(tmp_path / "elsewhere")}))
    assert other.store_hash == report.store_hash
    assert (
        contents(tmp_path / "elsewhere/store").items()
        == contents(TokenStore.open(report.store).root).items()
    )


def test_changed_config_or_input_redoes_what_depends_on_it(tmp_path):
    prepare(small(tmp_path))

    def reused(config):
        return {name: stage.reused for name, stage in prepare(config).stages.items()}

    larger = small(tmp_path).model_copy(
        update={"tokenizer": small(tmp_path).tokenizer.model_copy(update={"vocab_size": 420})}
    )
    assert reused(larger) == {"corpus": True, "tokenizer": False, "store": False}
    assert reused(small(tmp_path, seed=1))["corpus"] is False
    write_jsonl(tmp_path / "in.jsonl", records(33))
    assert reused(small(tmp_path, seed=1))["corpus"] is False
    assert reused(small(tmp_path, seed=1)) == dict.fromkeys(("corpus", "tokenizer", "store"), True)


def test_a_damaged_store_is_made_again(tmp_path):
    report = prepare(small(tmp_path))
    victim = next((tmp_path / "out/store").rglob("body.bin"))
    victim.write_bytes(b"")
    again = prepare(small(tmp_path))
    assert {name: stage.reused for name, stage in again.stages.items()} == {
        "corpus": True, "tokenizer": True, "store": False,
    }  # fmt: skip
    assert again.store_hash == report.store_hash


def test_a_given_tokenizer_is_used_and_travels_with_the_store(tmp_path, prepared):
    _, report = prepared
    given = TokenStore.open(report.store).root / "tokenizer.model"
    config = small(tmp_path).model_copy(
        update={"tokenizer": small(tmp_path).tokenizer.model_copy(update={"path": str(given)})}
    )
    made = prepare(config)
    store = TokenStore.open(made.store)
    assert (store.root / "tokenizer.model").read_bytes() == given.read_bytes()
    assert store.tokenizer().vocab_size == 400


def test_a_hugging_face_tokenizer_and_its_names_travel_with_the_store(tmp_path):
    special = ["<start>", "<stop>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([r["text"] for r in records(30)], trainer)
    given = tmp_path / "given"
    given.mkdir()
    tokenizer.save(str(given / "tokenizer.json"))
    names = {"bos_token": "<start>", "eos_token": "<stop>"}
    (given / "tokenizer_config.json").write_text(json.dumps(names))
    text = "A <stop> in the text, <start>."
    path = write_jsonl(tmp_path / "in.jsonl", [*records(30), record(90, text=text)])
    choice = {"path": str(given / "tokenizer.json")}
    output = str(tmp_path / "out")
    report = prepare(Prep(input=str(path), output=output, tokenizer=choice, splits=ALL_TRAIN))
    store = TokenStore.open(report.store, check_hashes=True)
    loaded = store.tokenizer()
    assert loaded.pieces([loaded.bos_id, loaded.eos_id, loaded.pad_id]) == [*special, "<stop>"]
    split = store.split("train")
    assert loaded.decode(split.body(30)) == " " + text
    assert not {loaded.bos_id, loaded.eos_id} & set(split.body(30).tolist())
    assert split.body(0).tolist() == tokenizer.encode(" " + records(1)[0]["text"]).ids


def test_unwritable_output_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    config = small(tmp_path).model_copy(update={"output": str(tmp_path / "file/out")})
    with pytest.raises(UserError, match=r"cannot write .*file/out"):
        prepare(config)


def test_a_folder_of_the_users_own_in_the_output_is_left_alone(tmp_path):
    (tmp_path / "out/corpus").mkdir(parents=True)
    (tmp_path / "out/corpus/raw.jsonl").write_text("mine")
    with pytest.raises(UserError, match="out/corpus exists and was not made by geo-nemo prep"):
        prepare(small(tmp_path))
    assert contents(tmp_path / "out").keys() == {".lock", "corpus/raw.jsonl"}


def test_missing_input_and_tokenizer_are_user_errors_before_anything_is_written(tmp_path):
    config = small(tmp_path)
    with pytest.raises(UserError, match=r"input=.*none\.jsonl: no such file"):
        prepare(config.model_copy(update={"input": (str(tmp_path / "none.jsonl"),)}))
    tokenizer = config.tokenizer.model_copy(update={"path": str(tmp_path / "none.model")})
    with pytest.raises(UserError, match="cannot read tokenizer"):
        prepare(config.model_copy(update={"tokenizer": tokenizer}))
    assert not (tmp_path / "out").exists()


def test_plan_writes_nothing_and_names_what_would_be_made(tmp_path):
    config = small(tmp_path)
    lines = plan(config)
    assert lines[f"{tmp_path}/out/store"] == "made"
    assert not (tmp_path / "out").exists()
    prepare(config)
    assert plan(config)[f"{tmp_path}/out/store"] == "kept as it is"
    assert plan(small(tmp_path, seed=2))[f"{tmp_path}/out/store"].startswith("made again")


RUN = """
import os, signal, sys, resource
from data_prep.narrow_config import Prep
from data_prep.prepare import prepare
from geo_nemo.config import UserError

path, output, mode = sys.argv[1:]

def progress(stage, done, total=None, note=""):
    if mode == "kill " + stage and done:
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "wait" and stage == "read":
        print("running", flush=True)
        sys.stdin.read()

if mode.startswith("limit"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(mode.split()[1]),) * 2)
try:
    prepare(Prep(input=path, output=output, tokenizer={"vocab_size": 400}), progress)
except UserError as error:
    print(error)
    sys.exit(2)
"""


def run(tmp_path, mode, **options):
    command = [sys.executable, "-c", RUN, str(tmp_path / "in.jsonl"), str(tmp_path / "out"), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("stage", ["read", "split", "sample", "tokenise"])
def test_a_killed_run_leaves_nothing_that_looks_whole_and_the_next_one_ends_it(tmp_path, stage):
    config = small(tmp_path, count=60)
    killed = run(tmp_path, f"kill {stage}")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out/store").exists()
    assert len(list((tmp_path / "out").glob("*.partial"))) == 1
    report = prepare(config)
    assert not list((tmp_path / "out").glob("*.partial"))
    fresh = prepare(config.model_copy(update={"output": str(tmp_path / "fresh")}))
    assert report.store_hash == fresh.store_hash
    assert report.stages["corpus"].reused == (stage in ("sample", "tokenise"))


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_no_store(tmp_path):
    small(tmp_path, count=60)
    full = run(tmp_path, "limit 3000")
    line, _ = full.communicate()
    assert full.returncode == 2
    assert line.startswith("cannot write ") and line.count("\n") == 1
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {".lock", "corpus"}


def test_two_runs_in_one_output(tmp_path):
    config = small(tmp_path)
    first = run(tmp_path, "wait", stdin=subprocess.PIPE)
    assert first.stdout.readline() == "running\n"
    started = time.monotonic()
    with pytest.raises(UserError, match="another process is writing in"):
        prepare(config)
    assert time.monotonic() - started < 5
    first.communicate("")
    assert first.returncode == 0
    assert all(stage.reused for stage in prepare(config).stages.values())
