"""`geo-nemo trace`: what it prints and writes."""

import json
import shutil
import sys

import pytest

from geo_nemo.cli import main as cli
from geo_nemo.store import TokenStore


@pytest.fixture
def store(tiny_store, tmp_path):
    return shutil.copytree(tiny_store, tmp_path / "store")


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["geo-nemo", "trace", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, said.err

    return run


def test_a_sentence_is_traced_to_its_document(store, call, tmp_path):
    opened = TokenStore.open(store)
    split = opened.split("train")
    text = " ".join(opened.tokenizer().decode(split.body(7)).split()[3:40])
    (tmp_path / "said.txt").write_text(text)
    code, out, err = call(store, "--file", tmp_path / "said.txt", "--json", tmp_path / "found.json")
    assert code == 0, err
    found = json.loads((tmp_path / "found.json").read_text())
    first = found["sources"][0]
    assert (first["split"], first["number"], first["shared"]) == ("train", 7, found["words"])
    assert first["hash"] == f"{int(split.content_hash[7]):016x}" and first["hash"] in out
    assert (tmp_path / "store.trace").is_dir()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --text TEXT or --file FILE"),
        (["--text", "one two three", "--file", "f"], "give --text TEXT or --file FILE"),
        (["--file", "none.txt"], "cannot read none.txt: No such file or directory"),
        (["--text", "one two \udcff"], "--text holds half a character: give it in UTF-8"),
        (["--text", " ... "], "the text holds no word: give some words of what a model wrote"),
        (["--text", "hello"], "give a text of 3 words or more"),
        (["--text", "one two three", "--run", "none"], "give the folder of a run"),
        (["--text", "one two three", "--json", "no/a.json"], "there is no folder no; make it"),
        (["--text", "one two three", "--index", "s3://a/b"], "give a path on a disk"),
    ],
)
def test_a_mistake_is_one_line_before_an_index_is_made(store, call, arguments, said):
    code, _, err = call(store, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("geo-nemo: ")]
    assert code == 2 and len(lines) == 1 and said in lines[0]
    assert not store.with_name("store.trace").exists()
