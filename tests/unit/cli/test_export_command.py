"""`geo-nemo export`: what it prints, and mistakes in one line, exit code 2, before anything."""

import io
import json
import re
import shutil

import pytest
import sentencepiece

from geo_nemo.config import Precision
from geo_nemo.export.scorer import load_scorer
from geo_nemo.store import TokenStore
from geo_nemo.train.checkpoint.files import listed_files, read_record
from geo_nemo.train.checkpoint.files import write_record as write_checkpoint_record
from geo_nemo.train.reads import check_run
from geo_nemo.train.run_record import write_record
from tests.support.command import call
from tests.support.runs import finished
from tests.support.text_store import text_store

pytestmark = pytest.mark.usefixtures("single_process")


@pytest.fixture(scope="module")
def run_dir(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("run")
    made = finished(tiny_store, output, precision=Precision(dtype="bf16"))
    write_record(made.prepared, 1)
    return output


@pytest.fixture
def export(monkeypatch, capsys):
    def run(*arguments):
        return call(monkeypatch, capsys, "export", *map(str, arguments))

    return run


def test_a_run_is_written_once_in_its_own_type(export, run_dir, tmp_path):
    out = tmp_path / "out"
    code, printed, told = export(run_dir, "--out", out)
    assert code == 0 and printed.splitlines()[-1] == str(out)
    assert "tiny, step 6: 143,680 parameters, bf16, 0.3 MB in 1 file, written" in printed
    assert "compare step_00000006: " in told and "write model.safetensors: " in told
    code, printed, _ = export(run_dir, "--out", out)
    assert code == 0 and "is there already" in printed
    code, _, told = export(run_dir, "--out", out, "--dtype", "fp32")
    assert (code, told) == (
        2,
        f"geo-nemo: {out} is there already: remove it, or give another --out\n",
    )


def test_a_dry_run_writes_nothing(export, run_dir, tmp_path):
    code, printed, told = export(run_dir, "--out", tmp_path / "out", "--dry-run", "--dtype", "fp32")
    assert (code, told) == (0, "") and list(tmp_path.iterdir()) == []
    assert "weights: trained, fp32, 574,720 bytes" in printed
    assert "tokenizer: sentencepiece, 640 tokens" in printed


def test_an_earlier_checkpoint_by_its_folder(export, run_dir, tmp_path):
    code, printed, _ = export(
        run_dir / "checkpoints" / "step_00000003", "--out", tmp_path / "out"
    )  # fmt: skip
    assert code == 0 and "tiny, step 3: " in printed


def test_a_newest_checkpoint_that_lacks_a_file_is_told_and_passed_over(export, run_dir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    (copy / "checkpoints" / "step_00000006" / "common.pt").unlink()
    code, printed, told = export(copy, "--out", tmp_path / "out")
    assert code == 0 and "step 3: " in printed
    assert "common.pt is missing; step_00000003 is used" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "average"], "has no average of the weights: leave out --weights average"),
        (["--dtype", "fp8"], "Invalid value for '--dtype': 'fp8' is not one of 'auto', 'bf16'"),
        (["--tokenizer", ""], "--tokenizer is empty: give it a value, or leave it out"),
        (["--evaluation", ""], "--evaluation is empty: give it a value, or leave it out"),
        (["--tokenizer", "nowhere"], "nowhere is neither a token store nor a tokenizer's file"),
        (["--tokenizer", "{run}/run.json"], "has no known BOS|is not a Hugging Face tokenizer"),
    ],
)
def test_mistakes_are_one_line(export, run_dir, tmp_path, arguments, message):
    given = [each.format(run=run_dir) for each in arguments]
    code, printed, told = export(run_dir, "--out", tmp_path / "out", *given)
    assert code == 2 and printed == "" and told.count("\n") == 1
    assert any(part in told for part in message.split("|"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"runs": {}}', "eval.json lacks 'perplexity'; give the output folder of geo-nemo eval"),
        ('{"perplexity": {}, "runs": {"a": 3}}', "is no evaluation of geo-nemo eval"),
        ('{"perplexity": {"cells": 3}, "runs": {}}', "is no evaluation of geo-nemo eval"),
        ('{"perplexity": {}, "runs": [1]}', "eval.json does not hold what it should"),
        ('{"perplexity": {}, "runs": {"a": {"step": 6}}}', "none of them is step 6 of tiny"),
    ],
)
def test_an_evaluation_that_is_damaged_is_one_line(export, run_dir, tmp_path, content, message):
    (tmp_path / "eval.json").write_text(content)
    code, _, told = export(run_dir, "--out", tmp_path / "out", "--evaluation", tmp_path)
    assert code == 2 and told.count("\n") == 1 and message in told, told
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_or_no_place_is_one_line(export, run_dir, tmp_path):
    (tmp_path / "file").write_text("a user's")
    for given, out, message in (
        (tmp_path, tmp_path / "out", "is neither a run with checkpoints nor a checkpoint"),
        (run_dir, "s3://bucket/a", "give a path on a disk"),
        (run_dir, tmp_path / "file", f"{tmp_path / 'file'} is a file; give another output"),
        (run_dir, tmp_path, f"{tmp_path} is there already: remove it"),
        (run_dir, "", "--out is empty: give a path"),
        (run_dir, run_dir / "checkpoints" / "x", "is among checkpoints, which it would spoil"),
        (run_dir, tmp_path / ("x" * 300), "File name too long"),
        ("s3://user:secret@bucket/a", tmp_path / "out", "credentials belong in the environment"),
    ):
        code, _, told = export(given, "--out", out)
        assert code == 2 and told.count("\n") == 1 and message in told
        assert "secret" not in told
    assert (tmp_path / "file").read_text() == "a user's"


def test_here_and_behind_a_link_it_is_written_where_they_lead(
    export, run_dir, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert export(run_dir, "--out", ".")[0] == 0
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert export(run_dir, "--out", tmp_path / "link")[0] == 0
    assert (tmp_path / "link").is_symlink()
    for name in ("here", "real"):
        assert (tmp_path / name / "model.safetensors").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"here", "real", "link"}


def test_a_tokenizer_that_cannot_be_converted_is_told(export, tiny_store, tmp_path):
    """Trained with one that changes characters: its ids cannot be had of a tokenizer.json."""
    made = io.BytesIO()
    texts = [f"The {n}th of ﬁve towns votes on schools and rail fares." for n in range(400)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=made, vocab_size=400, model_type="bpe",
        byte_fallback=True, hard_vocab_limit=False, num_threads=1, minloglevel=2,
    )  # fmt: skip
    path = tmp_path / "nfkc.model"
    path.write_bytes(made.getvalue())
    root = text_store(tmp_path, path, texts)
    finished(root, tmp_path / "run")
    code, printed, _ = export(tmp_path / "run", "--out", tmp_path / "out")
    assert code == 0 and "no tokenizer.json, whose ids would differ" in printed
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == path.read_bytes()
    assert not (tmp_path / "out" / "tokenizer_config.json").exists()
    assert "There is no tokenizer.json" in (tmp_path / "out" / "README.md").read_text()


def test_a_run_whose_packing_is_not_installed_here_is_read_all_the_same(
    export, run_dir, tmp_path, tiny_store
):
    """Its weights are those that they are."""
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    checkpoint = copy / "checkpoints" / "step_00000006"
    record = read_record(checkpoint)
    files = listed_files(record)
    changed = {key: value for key, value in record.items() if key not in ("files", "format")}
    changed["config"]["data"]["packing"] = "next_fit"
    write_checkpoint_record(checkpoint, changed, files)
    told = json.loads((copy / "run.json").read_text())
    told["config"]["data"]["packing"] = "next_fit"
    (copy / "run.json").write_text(json.dumps(told))
    code, _, said = export(copy, "--out", tmp_path / "out")
    assert code == 0, said
    card = (tmp_path / "out" / "README.md").read_text()
    assert "its packing index was not at hand" in " ".join(card.split())
    assert load_scorer(copy, "cpu").vocab_size == 640
    assert check_run(copy, TokenStore.open(tiny_store)).data.packing == "next_fit"


def evaluation_of(run_dir, folder, step=6, **config):
    cell = {"run": "mine", "condition": "with", "group": "all", "part": "text", "perplexity": 9.5,
            "low": 9.25, "high": 9.75, "documents": 180}  # fmt: skip
    others = [cell | {"part": "title", "perplexity": 77.0}, cell | {"run": "b", "low": 8.0}]
    folder.mkdir()
    (folder / "eval.json").write_text(json.dumps({
        "finished": "2026-01-02", "perplexity": {"cells": [cell, *others]}, "questions": None,
        "runs": {"mine": {"folder": str(run_dir), "step": step}}, "config": config,
    }))  # fmt: skip
    return folder


def test_the_card_has_evaluation_licence_and_countries(export, run_dir, tmp_path):
    measured = evaluation_of(run_dir, tmp_path / "eval")
    out = tmp_path / "out"
    code, _, told = export(
        run_dir, "--out", out, "--evaluation", measured, "--licence", "apache-2.0"
    )
    card = (out / "README.md").read_text()
    assert code == 0, told
    assert "\nlicense: apache-2.0\n---" in card and "## Licence\n\napache-2.0." in card
    assert "| with | 9.500 | 9.250 to 9.750 | 180 |" in card and "77.0" not in card
    counted = json.loads((out / "training.json").read_text())["ledger"]["stages"].values()
    documents = sum(stage["trained"]["by_country"]["gb"]["documents"] for stage in counted)
    (row,) = re.findall(r"^\| gb \| ([\d,]+) \|", card, re.MULTILINE)
    assert int(row.replace(",", "")) == documents > 0


def test_what_a_card_that_is_there_does_not_say_is_an_error(export, run_dir, tmp_path):
    """The same command again is none."""
    measured, out = evaluation_of(run_dir, tmp_path / "eval"), tmp_path / "out"
    for done in ((), ("--licence", "mit")):
        assert export(run_dir, "--out", out, *done)[0] == 0
        code, printed, _ = export(run_dir, "--out", out, *done)
        assert code == 0 and "is there already" in printed
        for option, value in (("--licence", "apache-2.0"), ("--evaluation", measured)):
            for dry in ((), ("--dry-run",)):
                code, printed, told = export(run_dir, "--out", out, *done, option, value, *dry)
                assert (code, printed) == (2, "")
                assert told == (
                    f"geo-nemo: {out} is there already, and its README.md does not say what "
                    f"{option} gives: remove it, or give another --out\n"
                )
        shutil.rmtree(out)
    assert export(run_dir, "--out", out, "--evaluation", measured)[0] == 0
    code, printed, _ = export(run_dir, "--out", out, "--evaluation", measured)
    assert code == 0 and "is there already" in printed


def test_an_evaluation_of_other_weights_is_refused(export, run_dir, tmp_path):
    measured = evaluation_of(run_dir, tmp_path / "eval", weights="average")
    code, _, told = export(run_dir, "--out", tmp_path / "out", "--evaluation", measured)
    assert code == 2 and told.count("\n") == 1
    assert "measured the weights average, and these are trained: give" in told


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--evaluation", "nowhere"), "cannot read nowhere/eval.json"),
        (("--licence", "my own\nterms"), "give its name in one word, as apache-2.0"),
    ],
)
def test_what_the_card_cannot_say_is_one_line(export, run_dir, tmp_path, options, says):
    code, _, told = export(run_dir, "--out", tmp_path / "out", *options)
    assert code == 2 and told.count("\n") == 1 and says in told
    assert not list(tmp_path.iterdir())


def test_an_evaluation_of_another_step_is_refused(export, run_dir, tmp_path):
    measured = evaluation_of(run_dir, tmp_path / "eval", step=3)
    code, _, told = export(run_dir, "--out", tmp_path / "out", "--evaluation", measured)
    assert code == 2 and told.count("\n") == 1
    assert "measured mine, and none of them is step 6 of tiny" in told
