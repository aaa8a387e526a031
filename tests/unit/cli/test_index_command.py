"""`geo-nemo index`: builds what a training then finds, and says so."""

import sys

import pytest

from geo_nemo.cli import main as cli
from geo_nemo.store import TokenStore
from geo_nemo.train.setup import prepare
from tests.support.tiny import tiny_run


@pytest.fixture
def run(monkeypatch, capsys, tiny_store, tmp_path):
    def call(*arguments: str) -> tuple[int, str, str]:
        settings = ["index", "experiment=demo", "train.steps=20", "train.warmup_steps=2"]
        settings += [f"data.store={tiny_store}", f"output_dir={tmp_path / 'out'}", *arguments]
        monkeypatch.setattr(sys, "argv", ["geo-nemo", *settings])
        monkeypatch.setenv("COLUMNS", "400")
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return call


def test_it_builds_each_stage_once(run, tmp_path):
    status, out, _ = run()
    assert status == 0
    assert (out.count("(built)"), out.count("(was there)")) == (2, 0)
    folders = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "out/index").glob("*-*/"))
    assert folders == ["condition", "cooldown"]
    status, out, _ = run()
    assert (out.count("(built)"), out.count("(was there)")) == (0, 2)


def test_a_training_reads_what_was_built_ahead(run, tmp_path, tiny_store, monkeypatch):
    from geo_nemo.data import stage as stage_module

    folder = tmp_path / "shared"
    made = tiny_run(tiny_store, tmp_path / "run", data={
        "store": str(tiny_store), "seq_length": 128, "packing_window": 64, "index_dir": str(folder),
    })  # fmt: skip
    store = TokenStore.open(tiny_store)
    for stage in made.stages:
        split, tokenizer = store.split("train"), store.tokenizer()
        assert stage_module.build_stage_index(made, store.hash, split, tokenizer, stage)[1]

    def never(*_):
        raise AssertionError("planned again")

    monkeypatch.setattr(stage_module, "build", never)
    prepared = prepare(made, world_size=1)
    assert len(prepared.dataset(prepared.stages[1])) == 24
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data.store=/nowhere"], "no token store at /nowhere"),
        (["data.index_dir=/proc/nowhere"], "give a folder that can be written as data.index_dir"),
        (["data.packing=best"], "data.packing: best is not a packing"),
        (
            ["stages.condition.select.countries=[zz]"],
            "stages.condition.select.countries: zz is not in the store, which has ",
        ),
        (["stages.condition.sampling.max_epochs=0.001"], "times, above stages.condition.sampling"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(run, tmp_path, arguments, words):
    status, _, err = run(*arguments)
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("geo-nemo: ")
    assert words in last
    left = list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else []
    assert [path for path in left if path.suffix != ".lock" and path.is_file()] == []
