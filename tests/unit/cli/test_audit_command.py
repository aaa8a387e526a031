"""`geo-nemo audit` on a real store: what it prints, writes and how it exits."""

import os
import sys

import numpy as np
import pytest

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.cli import main as cli
from geo_nemo.data import dataset as dataset_module
from geo_nemo.data.sequences import build_block
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.store.worlds import write_tokenizer

HOSTS = [("bbc.co.uk", "gb"), ("nation.africa", "ke"), ("nytimes.com", "us")]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """60 documents in two shards; ids are ordinary text of the tokenizer."""
    root = tmp_path_factory.mktemp("audit")
    write_tokenizer(root / "spm.model")
    tokenizer = load_tokenizer(root / "spm.model")
    writer = StoreWriter(
        root=root,
        tokenizer=tokenizer,
        tokenizer_path=root / "spm.model",
        countries=["gb", "ke", "us"],
        continents={"gb": "Europe", "ke": "Africa", "us": "America"},
        shard_documents=40,
    )
    documents = [StoreDocument(*HOSTS[i % 3], f"/{i}", i) for i in range(60)]
    titles = [tokenizer.encode(f" <b>{i}\n\n") if i % 4 else [] for i in range(60)]
    bodies = [tokenizer.encode(f" words {i}" * (i % 9)) for i in range(60)]
    writer.add("train", documents, titles, bodies)
    writer.finish({}, [])
    return root


@pytest.fixture
def run(monkeypatch, capsys, store):
    def call(*arguments: str) -> tuple[int, str, str]:
        settings = ["audit", "experiment=demo", f"data.store={store}", *arguments]
        monkeypatch.setattr(sys, "argv", ["geo-nemo", *settings])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return call


def test_it_shows_sequences_statistics_and_the_verdict(run, store):
    status, out, _ = run("--rows", "1")
    assert status == 0
    assert out.count("sequence 0") == 2  # one a stage
    assert "stage condition" in out
    assert "stage cooldown" in out
    assert "COUNTRY: " in out
    assert "every rule holds" in out


@pytest.mark.parametrize(
    "settings",
    [
        ["data=concatenate_and_chunk"],
        ["data.packing=concat"],
        ["sampling@stages.condition.sampling=temperature"],
        ["stages.condition.sampling.by=continent", "stages.condition.sampling.temperature=2"],
    ],
)
def test_every_packing_and_sampling_keeps_the_contract(run, settings):
    status, out, _ = run("--rows", "0", "train.steps=5", "train.warmup_steps=0", *settings)
    assert status == 0
    assert "text without its document's start" in out
    assert "every rule holds" in out


def test_it_writes_an_escaped_page(run, tmp_path):
    page = tmp_path / "a page.html"
    status, out, _ = run("--rows", "2", "--html", str(page))
    assert status == 0
    assert str(page) in out
    html = page.read_text()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert html.endswith("</html>\n")
    assert os.listdir(tmp_path) == ["a page.html"]


def test_a_broken_rule_exits_with_1_and_is_named(run, monkeypatch):
    def trains_the_prefix(*arguments):
        sequences = build_block(*arguments)
        sequences.loss_mask[sequences.position_ids == 1] = 1
        return sequences

    monkeypatch.setattr(dataset_module, "build_block", trains_the_prefix)
    status, out, _ = run("--rows", "0")
    assert status == 1
    assert "no metadata, label, BOS or padding is trained" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data.seq_lenght=64"], "seq_lenght"),
        (["data.store=/nowhere"], "no token store at /nowhere"),
        (["data.seq_length=16"], "seq_length 16"),
        (["--html", "/nowhere/page.html"], "cannot write /nowhere/page.html"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(run, arguments, words):
    status, _, err = run(*arguments)
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("geo-nemo: ")
    assert words in last


def test_sequences_of_a_real_store_hold_its_tokens(store):
    from geo_nemo.config import Data, MetadataPolicy
    from geo_nemo.store import TokenStore

    opened = TokenStore.open(store)
    split = opened.split("train")
    data = Data(store=str(store), seq_length=96, packing_window=16)
    sequences = dataset_module.StageDataset(
        split, data, MetadataPolicy(), opened.tokenizer(), np.arange(60), seed=1
    )
    trained = np.concatenate([sequence.labels[sequence.loss_mask == 1] for sequence in sequences])
    expected = np.concatenate(
        [
            np.concatenate([split.title(i), split.body(i), [sequences.tokenizer.eos_id]])
            for i in range(60)
        ]
    )
    assert sorted(trained.tolist()) == sorted(expected.tolist())
