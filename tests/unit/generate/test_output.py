"""A file of answers that was stopped: the same command goes on in it, and another is refused."""

import io
import json
import re
import resource
import signal
import time

import pytest

from tests.support.command import call
from tests.support.exports import write_export, write_jsonl
from tests.support.processes import Process

COUNT, SAMPLES = 12, 2


@pytest.fixture(scope="module")
def folder(tiny_store, tmp_path_factory):
    return write_export(tmp_path_factory.mktemp("g") / "model", tiny_store)


@pytest.fixture
def words(folder, tmp_path):
    """The command without its --out: 12 prompts, 2 samples, told 2 countries, in batches of 5."""
    records = [{"id": n, "prompt": "the price of " * (n % 3 + 1)} for n in range(COUNT)]
    path = write_jsonl(tmp_path / "p.jsonl", records)
    return ["generate", str(folder), "--file", str(path), "--compare", "ng,gb", "--chat",
            "--samples", str(SAMPLES), "--batch-size", "5", "--max-new-tokens", "16"]  # fmt: skip


@pytest.fixture
def generate(monkeypatch, capsys, words):
    def run(out, *more):
        monkeypatch.setattr("sys.stdin", io.StringIO())
        return call(monkeypatch, capsys, *words, "--out", str(out), *more)

    return run


@pytest.fixture
def whole(generate, tmp_path):
    code, _, told = generate(tmp_path / "whole.jsonl")
    assert code == 0, told
    assert not (tmp_path / "whole.jsonl.partial").exists()
    return (tmp_path / "whole.jsonl").read_bytes()


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stopped(generate, out, size):
    """Have the command fail when its file has `size` bytes; what it said."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        code, printed, told = generate(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, printed) == (2, "")
    return told.splitlines()[-1]


def test_killed_it_goes_on_to_the_same_bytes_and_two_at_once_are_a_line(
    words, generate, whole, tmp_path
):
    out = tmp_path / "o.jsonl"
    records = tmp_path / "o.jsonl.partial" / "records.jsonl"
    process = Process("geo_nemo", *words, "--out", out)
    try:
        until = time.monotonic() + 600
        while lines_of(records) < 5 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        code, _, told = generate(out)
        assert code == 2 and told.count("\n") == 1 and "another process is writing in" in told
        assert "or give another --out" in told
    finally:
        process.kill()
        process.communicate()
    assert not out.exists() and 5 <= lines_of(records) < COUNT * SAMPLES * 2
    kept = records.read_bytes()
    assert whole.startswith(kept)
    with records.open("ab") as file:
        file.write(b'{"id": 99, "prompt": "the')
    code, printed, told = generate(out)
    assert code == 0 and printed.strip() == str(out)
    assert re.search(r"goes on behind \d+ of 48 texts", told)
    assert out.read_bytes() == whole and not records.parent.exists()


def test_a_full_disk_is_a_line_and_what_is_written_is_kept(generate, whole, tmp_path):
    out = tmp_path / "o.jsonl"
    size = len(whole) // 2
    told = stopped(generate, out, size)
    assert "cannot write" in told and "mend that or give another output" in told
    assert (tmp_path / "o.jsonl.partial" / "records.jsonl").stat().st_size == size
    code, _, told = generate(out)
    assert code == 0 and "goes on behind" in told and out.read_bytes() == whole


def test_where_nothing_is_written_nothing_is_left(generate, tmp_path):
    out = tmp_path / "o.jsonl"
    (tmp_path / "o.jsonl.partial").mkdir()
    (tmp_path / "o.jsonl.partial" / "records.jsonl").symlink_to("/dev/full")
    code, _, told = generate(out)
    assert code == 2 and "is no output that was stopped: move it away" in told
    (tmp_path / "o.jsonl.partial" / "begun.json").write_text("{}")
    code, _, told = generate(out)
    assert code == 2 and "No space left on device" in told
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_begun_with_something_else_it_is_refused_by_its_name(generate, folder, tmp_path):
    out, prompts = tmp_path / "o.jsonl", tmp_path / "p.jsonl"
    records = tmp_path / "o.jsonl.partial" / "records.jsonl"
    stopped(generate, out, 4000)
    before, asked = records.read_bytes(), prompts.read_text()

    def refused(*more):
        code, printed, told = generate(out, *more)
        assert (code, printed, told.count("\n")) == (2, "", 1) and records.read_bytes() == before
        return re.search("was begun with another (.*): give what it was, remove it, or", told)[1]

    assert refused("--seed", "3") == "seed"
    assert refused("--batch-size", "4") == "batch_size"
    assert refused("--max-new-tokens", "17") == "settings"
    assert refused("--host", "a.com") == "metadata"
    assert refused("--compare", "ng") == "compare, metadata"
    prompts.write_text(asked.replace("price", "prize"))
    assert refused() == "prompts"
    prompts.write_text(asked)
    settings = folder / "tokenizer_config.json"
    was = settings.read_bytes()
    settings.write_text(json.dumps({**json.loads(was), "clean_up_tokenization_spaces": True}))
    try:
        assert refused() == "model"
    finally:
        settings.write_bytes(was)
    assert generate(out)[0] == 0
