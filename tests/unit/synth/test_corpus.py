"""The files of a corpus: whole or absent, the same bytes from the same settings."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from data_prep.synth import Synth, document_floors, write_corpus
from data_prep.synth.likelihood import FLOOR_NAMES
from geo_nemo.cli.synth import command
from geo_nemo.config import UserError


def config(folder, **changes):
    return Synth(**{"output": str(folder), "documents": 60, "questions_per_country": 2} | changes)


def lines(path):
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return [json.loads(line) for line in content.splitlines()]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_records_have_the_schema_and_urls_of_their_host_date_and_title(tmp_path):
    write_corpus(config(tmp_path))
    records = lines(tmp_path / "news.jsonl.gz")
    assert len(records) == 60
    for record in records:
        assert list(record) == ["id", "url", "title", "text", "country", "continent", "date"]
        year, month, _ = record["date"].split("-")
        assert 2015 <= int(year) <= 2024
        slug = re.sub(r"[^a-z]+", "-", record["title"].lower())
        assert re.fullmatch(rf"https://[a-z.]+/{year}/{month}/{slug}", record["url"])
    assert len({record["id"] for record in records}) == 60


def test_the_content_of_a_seed_is_what_it_was_when_this_was_written(tmp_path):
    """Raise config.FORMAT when this has to change."""
    write_corpus(config(tmp_path))
    digests = [
        hashlib.sha256(gzip.decompress((tmp_path / name).read_bytes())).hexdigest()[:16]
        for name in ("news.jsonl.gz", "floors.jsonl.gz")
    ]
    digests.append(hashlib.sha256((tmp_path / "questions.jsonl").read_bytes()).hexdigest()[:16])
    assert digests == ["66355f6883556323", "d239bd2337ca8a97", "fc501cccf470b094"]


def test_equal_settings_give_equal_bytes_whatever_the_folder_and_the_workers(tmp_path):
    write_corpus(config(tmp_path / "a", shards=3))
    write_corpus(config(tmp_path / "b c", shards=3, workers=2))
    assert contents(tmp_path / "a") == contents(tmp_path / "b c")
    assert names(tmp_path / "a")[0] == "floors-00000-of-00003.jsonl.gz"


def test_shards_joined_are_the_corpus_of_one_shard(tmp_path):
    write_corpus(config(tmp_path / "one"))
    write_corpus(config(tmp_path / "four", shards=4))
    for name in ("news", "floors"):
        shards = sorted((tmp_path / "four").glob(f"{name}-*"))
        joined = [line for path in shards for line in lines(path)]
        assert joined == lines(tmp_path / "one" / f"{name}.jsonl.gz")


def test_a_larger_corpus_begins_with_the_smaller(tmp_path):
    write_corpus(config(tmp_path / "small"))
    write_corpus(config(tmp_path / "large", documents=90))
    large = lines(tmp_path / "large" / "news.jsonl.gz")
    assert large[:60] == lines(tmp_path / "small" / "news.jsonl.gz")


def test_the_sidecar_the_summary_and_the_floors_from_ids_agree(tmp_path):
    settings = config(tmp_path, documents=600)
    summary = write_corpus(settings)
    assert summary == json.loads((tmp_path / "synth.json").read_text())
    sidecar = lines(tmp_path / "floors.jsonl.gz")
    records = lines(tmp_path / "news.jsonl.gz")
    assert [(s["id"], s["url"]) for s in sidecar] == [(r["id"], r["url"]) for r in records]
    chosen = [sidecar[number] for number in (599, 3, 77)]
    floors = document_floors(settings, [entry["id"] for entry in chosen])
    for name in ("title_with", "body_with", "title_without", "body_without", "body_country"):
        np.testing.assert_allclose(getattr(floors, name), [e[name] for e in chosen], atol=1e-6)
        mean = np.mean([entry[name] for entry in sidecar])
        assert summary["nats_per_document"][name] == pytest.approx(mean, abs=1e-6)
        assert summary["nats_total"][name] == pytest.approx(600 * mean, abs=1e-3)
    assert set(summary["nats_total"]) == set(FLOOR_NAMES)
    assert summary["gain"]["title"] == 0
    assert summary["gain"]["ceiling"] == pytest.approx(4.276666119)
    by_country = summary["countries"]
    assert sum(row["documents"] for row in by_country.values()) == 600
    words = [len(f"{record['title']} {record['text']}".split()) for record in records]
    assert summary["words"] == {
        "total": sum(words), "shortest": min(words), "longest": max(words)
    }  # fmt: skip
    for entry in summary["files"]:
        content = (tmp_path / entry["path"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()


def test_an_id_of_another_corpus_is_refused(tmp_path):
    for name in ("s0-00000060", "s1-00000001", "factbook/gb", "s0-²"):
        with pytest.raises(UserError, match="no document of the corpus"):
            document_floors(config(tmp_path), [name])


def test_shards_of_an_older_or_killed_run_go_and_other_files_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "news-00001-of-00009.jsonl.gz.partial").write_text("left by a killed run")
    write_corpus(config(tmp_path, shards=2))
    write_corpus(config(tmp_path))
    assert names(tmp_path) == [
        "floors.jsonl.gz", "instructions.jsonl", "instructions_test.jsonl", "news.jsonl.gz",
        "notes.txt", "questions.jsonl", "synth.json",
    ]  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_line_and_leaves_the_older_corpus_whole(tmp_path):
    write_corpus(config(tmp_path))
    before = contents(tmp_path)
    (tmp_path / "floors.jsonl.gz.partial").symlink_to("/dev/full")
    with pytest.raises(UserError, match=re.escape(str(tmp_path)) + ".*No space left"):
        write_corpus(config(tmp_path, seed=1))
    assert contents(tmp_path) == before


def test_an_output_that_cannot_be_a_folder_is_one_line(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write .*taken"):
        write_corpus(config(tmp_path / "taken"))
    with pytest.raises(UserError, match=r"cannot write .*taken"):
        write_corpus(config(tmp_path / "taken" / "below"))


def test_the_command_prints_floors_and_paths(tmp_path):
    arguments = [f"output={tmp_path / 'corpus'}", "documents=40", "signal=0.5"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    summary = json.loads((tmp_path / "corpus" / "synth.json").read_text())
    assert f"{summary['nats_per_document']['body_without']:.3f}" in result.output
    assert summary["config"]["signal"] == 0.5
    assert str(tmp_path / "corpus" / "synth.json") in result.output


def test_a_dry_run_writes_nothing(tmp_path):
    arguments = [f"output={tmp_path / 'corpus'}", "--dry-run"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "signal=0.9" in result.output
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("signal=1.5", "signal"),
        ("documents=0", "documents"),
        ("shards=13000", "shards 13000 is above documents 12000"),
        ("sgnal=0.5", "sgnal"),
        ("seed=-1", "seed"),
        ("output=''", "output"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, override, named):
    result = CliRunner().invoke(command, [f"output={tmp_path}/corpus", override])
    assert isinstance(result.exception, UserError)
    assert named in str(result.exception)
    assert names(tmp_path) == []


def test_the_generator_needs_neither_torch_nor_megatron():
    code = "import sys, data_prep.synth; print(sorted({'torch', 'megatron'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
