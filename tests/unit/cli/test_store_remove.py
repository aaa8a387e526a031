"""`geo-nemo store remove` beside a run that has read some of the documents."""

import json
import sys

import pytest

from geo_nemo.cli import main as cli
from geo_nemo.store import TokenStore
from geo_nemo.train import reads
from geo_nemo.train.checkpoint.files import FORMAT, RECORD, _hash
from tests.support.tiny import tiny_run


@pytest.fixture
def store_remove(monkeypatch, capsys, tiny_store):
    def call(*arguments):
        monkeypatch.setattr(
            sys, "argv", ["geo-nemo", "store", "remove", str(tiny_store), *map(str, arguments)]
        )
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return stopped.value.code, said.out, said.err

    return call


@pytest.fixture
def run(tiny_store, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    config = tiny_run(tiny_store, folder).model_dump(mode="json")
    record = {"config": config, "store_hash": TokenStore.open(tiny_store).hash}
    (folder / "run.json").write_text(json.dumps(record))
    kept = {"step_00000003": 3, "step_00000006": 6}
    monkeypatch.setattr(reads, "_checkpoints", lambda _: (kept, []))
    return folder


def test_documents_leave_and_their_readers_are_named(store_remove, run, tiny_store, tmp_path):
    split = TokenStore.open(tiny_store).split("train")
    host = split.record(0).host
    (tmp_path / "gone.txt").write_text(f"{host}\nnobody.example.com\n")
    code, out, err = store_remove(
        "--list", tmp_path / "gone.txt", "--out", tmp_path / "new",
        "--run", run, "--takedown", tmp_path / "takedown.json",
    )  # fmt: skip
    assert (code or 0) == 0, err
    told = json.loads((tmp_path / "takedown.json").read_text())
    assert {each["url"].split("/")[2] for each in told["documents"]} == {host}
    stages = told["runs"][0]["stages"]
    assert set(stages) <= {"condition", "cooldown"} and stages
    steps = [read["step"] for each in told["documents"] for read in each["read"]]
    assert min(steps) == min(stage["first_step"] for stage in stages.values())
    assert told["runs"][0]["checkpoints"][-1] == "step_00000006"
    assert told["new_store_hash"] == TokenStore.open(tmp_path / "new").hash
    assert "not among them: nobody.example.com" in out
    assert f"{run}: checkpoints that have seen them: " in out


def test_a_run_that_began_from_another_s_weights_names_that_one(store_remove, run, tmp_path):
    folder = run / "checkpoints" / "step_00000006"
    folder.mkdir(parents=True)
    before = {"run": "base", "step": 9, "store": "aa", "stages": {}}
    record = {"format": FORMAT, "step": 6, "ledger": {"before": [before]}}
    (folder / RECORD).write_text(json.dumps({**record, "sha256": _hash(record)}))
    _, out, err = store_remove("--where", "country=gb", "--dry-run", "--run", run)
    assert f"{run}: its first weights are of base, step 9, of store aa: ask for" in out, err


def test_a_dry_run_makes_nothing(store_remove, tmp_path):
    code, out, _ = store_remove("--where", "country=gb", "--dry-run")
    assert (code or 0) == 0 and "would go" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "country=gb"], "give --out STORE, or --dry-run, one of the two"),
        (["--dry-run"], "say which documents go: give --list or --where"),
        (["--dry-run", "--list", "none.txt"], "cannot read --list=none.txt: No such file"),
        (["--where", "country=zz", "--out", "new"], "has none of these documents"),
        (["--where", "country=gb", "--dry-run", "--corpus", "c"], "--corpus-out together"),
        (["--where", "country=gb", "--dry-run", "--run", "no"], "give the folder of a run"),
        (["--where", "country=gb", "--out", "new", "--corpus", "c", "--corpus-out", "d"], "c/"),
        (["--where", "country=gb", "--out", "new", "--takedown", "no/t"], "there is no folder no"),
        (
            ["--where", "country=gb", "--out", "new", "--takedown", "."],
            "it is a folder; give a file",
        ),
    ],
)
def test_a_mistake_is_one_line(store_remove, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = store_remove(*arguments)
    lines = [line for line in err.splitlines() if line.startswith("geo-nemo: ")]
    assert code == 2 and len(lines) == 1 and said in lines[0]
    assert list(tmp_path.iterdir()) == []
