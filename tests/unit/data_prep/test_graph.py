"""The whole preparation: its store, its account, its reuse, and its end by force."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_prep.card import CardData
from data_prep.config import Annotate, Prep
from data_prep.corpus_out import read_corpus
from data_prep.graph import run_prep, stages
from data_prep.ingest import Ingest
from data_prep.plan import make_plan
from geo_nemo.config import UserError
from geo_nemo.store import TokenStore
from tests.unit.data_prep.worlds import record, records, write_jsonl

ALL_TRAIN = {"train": 1, "validation": 0, "test": 0}
# Every stage has something to do.
EVERYTHING = {
    "clean": {"pii": ["email"], "min_characters": 5},
    "dedup": {"near": {"action": "drop"}},
    "overlap": {"held_out": True},
    "balance": {"cap_all": 1000},
    # A category, several values, a number, a date and free text.
    "fields": {
        "extra": {
            "section": "country",
            "tags": "tags",
            "price": {"column": "price", "type": "number"},
            "seen": {"column": "seen", "type": "date"},
            "headline": {"column": "title", "type": "text"},
        }
    },
}


def config_of(tmp_path, count=30, output="out", files=1, **changes):
    """A preparation of `count` records, written in `files` files once."""
    for i in range(files):
        path = tmp_path / f"in-{i}.jsonl"
        if not path.exists():
            rows = [
                row
                | {"tags": ["all", f"t{n % 7}"], "price": n / 4, "seen": f"2021-03-{n % 28 + 1}"}
                for n, row in enumerate(records(count))
            ]
            write_jsonl(path, rows[i::files])
    changes = {"tokenizer": {"vocab_size": 400}, "execution": {"workers": 1}, **changes}
    return Prep.model_validate(
        {"input": str(tmp_path / "in-*.jsonl"), "output": str(tmp_path / output), **changes}
    )


def report_of(config):
    return CardData.model_validate_json(Path(config.output, "report.json").read_bytes())


def store_of(config, **options):
    return TokenStore.open(Path(config.output, "store"), **options)


def contents(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file()
    }


def made(config):
    """Everything that a preparation publishes, by name and hash."""
    folder = Path(config.output)
    found = {name: contents(folder / name) for name in ("corpus", "tokenizer", "store", "drops")}
    for name in ("report.json", "card.md", "card.html"):
        found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    write_jsonl(folder / "in-0.jsonl", [*records(90), b"{", record(200, title=None)])
    config = config_of(folder)
    run_prep(config)
    return config


def test_the_store_holds_the_corpus(prepared):
    store = store_of(prepared, check_hashes=True)
    tokenizer = store.tokenizer()
    seen = 0
    for name in ("train", "validation", "test"):
        documents = list(read_corpus(Path(prepared.output, "corpus"), name))
        split = store.split(name)
        assert len(split) == len(documents)
        for i, row in enumerate(documents):
            assert tokenizer.decode(split.body(i)) == " " + row["text"]
            title = f" {row['title']}\n\n" if row["title"] else ""
            assert tokenizer.decode(split.title(i)) == title
            found = split.record(i)
            assert (found.host, found.country, found.continent, found.path) == (
                row["host"], row["country"], row["continent"], row["path"],
            )  # fmt: skip
            assert int(split.content_hash[i]) == int.from_bytes(row["hash"][:8], "big")
            assert (split.year[i], split.quality[i]) == (row["year"], row["quality"])
            seen += 1
    assert seen == report_of(prepared).documents == 91


def test_the_account_adds_up(prepared):
    report = report_of(prepared)
    dropped = {name: n for step in report.steps for name, n in step.dropped.items()}
    assert (report.found, report.documents, dropped) == (92, 91, {"broken_json": 1})
    store = store_of(prepared)
    for name, split in report.splits.items():
        assert split.documents == sum(c.documents for c in split.countries.values())
        read = store.split(name)
        assert split.tokens == read.title_lengths.sum() + read.body_lengths.sum()
    assert report.splits["test"].countries.keys() == {"gb", "ke", "us"}


def test_a_second_run_does_no_task_again_and_changes_nothing(prepared, monkeypatch):
    before = made(prepared)
    for stage in stages(prepared):
        monkeypatch.setattr(type(stage), "run", lambda *_: pytest.fail("a task ran again"))
    run_prep(prepared)
    assert made(prepared) == before


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.very_slow)])
def test_a_run_elsewhere_gives_the_same_bytes_whatever_the_workers(workers, tmp_path):
    settings = {"files": 4, "count": 80, "limits": {"task_bytes": 1}, **EVERYTHING}
    here = config_of(tmp_path, **settings)
    there = config_of(tmp_path, output="there", **settings, execution={"workers": workers})
    run_prep(here)
    run_prep(there)
    assert len(Ingest(here).tasks()) == 4
    assert made(here) == made(there)


def test_changed_config_or_input_redoes_what_depends_on_it(tmp_path):
    def is_done(stage):
        try:
            return all(stage.receipt(task) for task in stage.tasks())
        except RuntimeError:  # a stage before it is not done
            return False

    def done(config):
        return {stage.name for stage in stages(config) if is_done(stage)}

    first = config_of(tmp_path)
    run_prep(first)
    everything = done(first)
    assert everything == {stage.name for stage in stages(first)}
    larger = config_of(tmp_path, tokenizer={"vocab_size": 420})
    redone = everything - done(larger)
    assert {"tokenizer", "tokenise", "store", "card"} <= redone
    assert redone.isdisjoint({"ingest", "fingerprint", "dedup", "split", "assign", "corpus"})
    reseeded = config_of(tmp_path, seed=1)
    assert "ingest" in done(reseeded) and "split" not in done(reseeded)
    write_jsonl(tmp_path / "in-0.jsonl", records(33))
    assert "ingest" not in done(first)
    run_prep(first)
    assert report_of(first).documents == 33


def test_a_file_more_does_only_the_new_file_again(tmp_path):
    config = config_of(tmp_path, files=3, count=60, limits={"task_bytes": 1})
    run_prep(config)
    kept = [Ingest(config).task_folder(t.id).stat().st_mtime_ns for t in Ingest(config).tasks()]
    write_jsonl(tmp_path / "in-9.jsonl", [record(i) for i in range(100, 120)])
    run_prep(config)
    tasks = Ingest(config).tasks()
    assert len(tasks) == 4
    times = [Ingest(config).task_folder(t.id).stat().st_mtime_ns for t in tasks]
    assert times[:3] == kept
    assert report_of(config).documents == 80


def test_a_damaged_store_is_made_again(tmp_path):
    config = config_of(tmp_path)
    run_prep(config)
    before = made(config)
    victim = next((tmp_path / "out/store").rglob("body.bin"))
    victim.unlink()
    run_prep(config)
    assert made(config) == before


def test_a_given_tokenizer_is_used_and_travels_with_the_store(tmp_path, prepared):
    given = store_of(prepared).root / "tokenizer.model"
    config = config_of(tmp_path, tokenizer={"path": str(given)})
    run_prep(config)
    store = store_of(config)
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
    write_jsonl(tmp_path / "in-0.jsonl", [*records(30), record(90, text=text)])
    config = config_of(
        tmp_path, tokenizer={"path": str(given / "tokenizer.json")}, splits=ALL_TRAIN
    )
    run_prep(config)
    store = store_of(config, check_hashes=True)
    loaded = store.tokenizer()
    assert loaded.pieces([loaded.bos_id, loaded.eos_id, loaded.pad_id]) == [*special, "<stop>"]
    split = store.split("train")
    assert loaded.decode(split.body(30)) == " " + text
    assert not {loaded.bos_id, loaded.eos_id} & set(split.body(30).tolist())
    assert split.body(0).tolist() == tokenizer.encode(" " + records(1)[0]["text"]).ids


def test_without_work_the_next_run_starts_anew_and_gives_the_same(tmp_path):
    config = config_of(tmp_path, keep_work=False)
    run_prep(config)
    assert not (tmp_path / "out/work").exists()
    before = made(config)
    run_prep(config)
    assert made(config) == before


def test_one_stage_alone_runs_when_those_before_it_are_done(tmp_path):
    config = config_of(tmp_path)
    with pytest.raises(UserError, match=r"stage ingest of .* is not finished"):
        run_prep(config, only=["assign"])
    with pytest.raises(UserError, match=r"no stage 'assing'; there are ingest, "):
        run_prep(config, only=["assing"])
    assert list(run_prep(config, only=["ingest"])) == ["ingest"]
    assert not (tmp_path / "out/store").exists()


def test_input_that_comes_during_a_run_is_for_the_next_one(tmp_path):
    config = config_of(tmp_path, files=2)
    run_prep(config, only=["ingest"])
    write_jsonl(tmp_path / "in-2.jsonl", records(40)[30:])
    os.utime(tmp_path / "in-0.jsonl")
    run_prep(config, only=[stage.name for stage in stages(config)][1:])
    assert report_of(config).found == 30
    run_prep(config)
    assert report_of(config).found == 40


def test_a_later_stage_alone_takes_no_list_of_before_a_kill(tmp_path):
    config = config_of(tmp_path, files=2, limits={"task_bytes": 1})
    run_prep(config)
    write_jsonl(tmp_path / "in-0.jsonl", records(80)[40:])
    assert run(config, "kill ingest").wait() == -signal.SIGKILL
    for name in ("fingerprint", "dedup", "split", "corpus", "tokenise", "store", "card"):
        with pytest.raises(UserError, match=r"stage ingest of .* is not finished: run geo-nemo"):
            run_prep(config, only=[name])
    run_prep(config)
    assert report_of(config).found == 55


def test_a_later_stage_alone_tells_that_settings_of_the_first_have_changed(tmp_path):
    run_prep(config_of(tmp_path), only=["ingest"])
    other = config_of(tmp_path, clean={"min_characters": 9})
    with pytest.raises(UserError, match="was done with other settings: run geo-nemo prep run w"):
        run_prep(other, only=["drops"])


def test_a_later_stage_alone_makes_nothing_of_what_other_settings_left(tmp_path):
    """It would be kept under the keys of now, and the next whole run would take it."""
    settings = {"splits": {"train": 0.5, "validation": 0, "test": 0.5}, "corpus": "none"}
    run_prep(config_of(tmp_path, **settings))
    other = config_of(tmp_path, seed=1, **settings)
    for name in ("assign", "drops", "tokenizer", "tokenise", "store", "profile", "card"):
        with pytest.raises(UserError) as error:
            run_prep(other, only=[name])
        assert str(error.value) == (
            f"stage {name} of {tmp_path / 'out'} cannot run alone: stage split is not finished "
            "with these settings: run geo-nemo prep run without --stage"
        )
    run_prep(other, only=["split", "assign", "overlap_texts", "overlap_index", "overlap"])
    run_prep(other, only=["profile", "card"])  # of the store that is there
    run_prep(other)
    fresh = config_of(tmp_path, output="fresh", seed=1, **settings)
    run_prep(fresh)
    assert split_hashes(store_of(other)) == split_hashes(store_of(fresh))


def split_hashes(store):
    return {name: store.split(name).content_hash.tolist() for name in ("train", "test")}


def test_unwritable_output_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/out"):
        run_prep(config_of(tmp_path, output="file/out"))


@pytest.mark.parametrize("name", ["corpus", "store", "tokenizer", "drops"])
def test_a_folder_of_the_users_own_in_the_output_is_left_alone(tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "out" / name / "raw.jsonl").write_text("mine")
    with pytest.raises(UserError, match=f"out/{name} exists and was not made by geo-nemo prep"):
        run_prep(config_of(tmp_path))
    assert contents(tmp_path / "out").keys() == {f"{name}/raw.jsonl"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "none.jsonl"}, r"input=none\.jsonl: no such file"),
        ({"input": "none-*.jsonl"}, r"input=none-\*\.jsonl: no file matches"),
        ({"tokenizer": {"path": "none.model"}}, "cannot read tokenizer none.model"),
        ({"annotate": {"outlets": "none.csv"}}, r"cannot read .*none\.csv"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_made(tmp_path, changes, message):
    config = config_of(tmp_path).model_copy()
    config = Prep.model_validate({**config.model_dump(), **changes})
    with pytest.raises(UserError, match=message):
        run_prep(config)
    assert not (tmp_path / "out/work").exists()


def test_a_listed_country_without_documents_is_a_user_error(tmp_path):
    config = config_of(tmp_path, annotate={"countries": ["gb", "ke", "us", "fr", "nz"]})
    with pytest.raises(UserError, match="no document from fr, nz"):
        run_prep(config)
    assert not (tmp_path / "out/store").exists()


def test_no_usable_record_is_a_user_error_that_says_why(tmp_path):
    write_jsonl(tmp_path / "in-0.jsonl", [b"{", record(1, country="zz")])
    with pytest.raises(UserError, match=r"no usable record in .*\(broken_json 1, unknown_country"):
        run_prep(config_of(tmp_path))


def test_the_card_tells_of_a_file_that_came_and_is_not_read(tmp_path):
    config = in_folders(tmp_path, "country=ke")
    run_prep(config)
    assert report_of(config).notes == ()
    (tmp_path / "country=ke/more.news").write_bytes(b"{}")
    run_prep(config)
    (note,) = report_of(config).notes
    assert note.note.startswith("files of other endings, passed over: 1 .news")


def in_folders(tmp_path, pattern):
    """A preparation of records whose country stands in the name of a folder alone."""
    for place in ("ke", "gb"):
        folder = tmp_path / f"country={place}"
        if folder.exists():
            continue
        folder.mkdir()
        rows = [record(i, url=f"https://{place}{i}.com/a", id=None) for i in range(90)]
        rows = [{k: v for k, v in row.items() if k not in ("country", "id")} for row in rows]
        write_jsonl(folder / "a.jsonl", rows)
    return Prep.model_validate(
        {"input": str(tmp_path / pattern), "output": str(tmp_path / "out"),
         "tokenizer": {"vocab_size": 400}, "execution": {"workers": 1}}
    )  # fmt: skip


def test_the_plan_knows_what_the_names_of_folders_tell(tmp_path):
    config = in_folders(tmp_path, "*/*.jsonl")
    config = config.model_copy(update={"annotate": Annotate(on_unknown_country="drop")})
    assert make_plan(config).sample.kept == 1


def test_a_pattern_that_tells_more_reads_the_same_files_again(tmp_path):
    """What stands before the first sign of a pattern is no field of its records."""
    (task,) = Ingest(in_folders(tmp_path, "country=ke/*.jsonl")).tasks()
    config = in_folders(tmp_path, "country=k*/*.jsonl")
    (other,) = Ingest(config).tasks()
    assert [file[:4] for file in task.payload["files"]] == [f[:4] for f in other.payload["files"]]
    assert task.key != other.key


RUN = """
import os, signal, sys, resource
from data_prep.config import Prep
from data_prep.graph import run_prep
from geo_nemo.config import UserError

config, mode = Prep.model_validate_json(sys.argv[1]), sys.argv[2]
if mode.startswith("limit"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(mode.split()[1]),) * 2)

def progress(stage, done, total=None, note=""):
    if mode == "kill " + stage:
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "wait":
        print("running", flush=True)
        sys.stdin.read()

try:
    run_prep(config, progress)
except UserError as error:
    print(error)
    sys.exit(2)
"""


def run(config, mode, **options):
    command = [sys.executable, "-c", RUN, config.model_dump_json(), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.very_slow)])
def test_killed_in_one_stage_after_another_it_ends_with_the_same_bytes(tmp_path, every):
    """every: 1 kills it in each, which is for make test-slow."""
    settings = {"files": 2, "count": 60, "limits": {"task_bytes": 1}, **EVERYTHING}
    config = config_of(tmp_path, **settings)
    ended = []
    for stage in stages(config)[::every]:
        killed = run(config, f"kill {stage.name}")
        killed.communicate()
        assert killed.returncode in (0, -signal.SIGKILL)
        if killed.returncode == 0:
            break
        ended.append(stage.name)
        assert (
            not list(Path(config.output).glob("*.partial"))
            or not (tmp_path / "out/report.json").exists()
        )
    assert len(ended) > 8 // every, ended
    run_prep(config)
    fresh = config_of(tmp_path, output="fresh", **settings)
    run_prep(fresh)
    assert made(config) == made(fresh)
    assert set(store_of(fresh).manifest.fields) >= set(EVERYTHING["fields"]["extra"])


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_no_store(tmp_path):
    config = config_of(tmp_path, count=60)
    full = run(config, "limit 6000")
    line, _ = full.communicate()
    assert full.returncode == 2
    assert line.startswith("cannot write ") and line.count("\n") == 1
    assert not (tmp_path / "out/store").exists()


def test_two_runs_in_one_output(tmp_path):
    config = config_of(tmp_path)
    first = run(config, "wait", stdin=subprocess.PIPE)
    assert first.stdout.readline() == "running\n"
    with pytest.raises(UserError, match="another process is writing in"):
        run_prep(config)
    first.communicate("")
    assert first.returncode == 0
