"""The evaluation as a whole: output, resume, bad input."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.config import EvalConfig, ReportConfig
from eval.report.inputs import read_inputs
from eval.runner import evaluate
from geo_nemo.config import UserError
from geo_nemo.train.checkpoint.files import read_record
from tests.unit.eval.fakes import (
    byte_tokenizer,
    make_run,
    make_store,
    one_at_a_time,
    rewrite_record,
    texts,
)
from tests.unit.eval.test_questions import question, write


def line(lines, **wanted):
    found = [x for x in lines if all(x[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_matrix_shows_that_the_truth_helps_and_controls_do_not(config, loader):
    result = evaluate(config, loader)
    effects = result["perplexity"]["effects"]
    told = line(
        effects, group="all", part="body", purpose="told against not told", of=("with", "with")
    )
    assert told["high"] < -1
    wrong = line(effects, group="all", part="body", purpose="wrong country against not told",
                 of=("with", "wrong_country"))  # fmt: skip
    assert wrong["low"] > told["high"]
    deaf = line(effects, group="all", part="body", purpose="told against not told",
                of=("without", "with"))  # fmt: skip
    # The plain model is the same bigram table in every condition.
    assert deaf["nats"] == pytest.approx(0, abs=1e-6)


def test_output_is_whole_json_without_nan_and_npz_with_every_document(config, loader):
    result = evaluate(config, loader, command=["geo-nemo", "eval"])
    output = Path(config.output)
    stored = json.loads((output / "eval.json").read_text())
    assert stored["documents"] == json.loads(json.dumps(result["documents"]))
    assert stored["documents"]["countries_without_documents"] == ["jm"]
    assert stored["documents"]["scored"] == 60
    controls = stored["documents"]["controls"]
    assert controls["wrong_country"]["same_country"] == 0
    assert 0 < controls["shuffled"]["same_country"] < 0.6
    assert stored["runs"]["with"]["conditioned"] and not stored["runs"]["without"]["conditioned"]
    assert stored["command"] == ["geo-nemo", "eval"]
    with np.load(output / "documents.npz", allow_pickle=False) as arrays:
        assert arrays["body"].shape == (8, 60)
        keys = arrays["keys"].tolist()
        cell = line(
            stored["perplexity"]["cells"], group="all", part="text", run="with", condition="with"
        )
        nats = (arrays["title"] + arrays["body"])[keys.index("with/with")].sum()
        tokens = arrays["title_tokens"].sum() + arrays["body_tokens"].sum()
        assert cell["perplexity"] == pytest.approx(np.exp(nats / tokens))
    assert not list(output.rglob("*.partial"))


def test_the_plain_run_is_told_in_the_words_of_the_first_conditioned_one(
    config, world, loader, tmp_path
):
    only = make_run(tmp_path / "only", world.store, fields=("country",))
    runs = {"plain": str(world.runs["without"]), "only": str(only)}
    result = evaluate(config.model_copy(update={"runs": runs}), loader)
    assert result["runs"]["plain"]["policy"]["fields"] == ["country"]


def test_a_run_on_bare_text_is_compared_as_it_reads_bare_text(config, world, loader, tmp_path):
    bare = make_run(tmp_path / "bare", world.store, fields=(), template="plain")
    runs = {"with": str(world.runs["with"]), "bare": str(bare)}
    for conditions, own in (
        (("with", "without", "plain"), "plain"),
        (("with", "without"), "without"),
    ):
        result = evaluate(
            config.model_copy(update={"runs": runs, "conditions": conditions}), loader
        )
        found = {
            (effect["of"][1], effect["against"][1])
            for effect in result["perplexity"]["effects"]
            if effect["of"][0] == "with" and effect["against"][0] == "bare"
        }
        both = {("plain", "plain")} if "plain" in conditions else set()
        assert found == {("with", own), ("without", own)} | both


def test_a_password_that_was_typed_is_in_no_record(config, loader):
    typed = ["geo-nemo", "eval", "questions_options.url=https://me:hush@host/q"]
    evaluate(config, loader, command=typed)
    record = (Path(config.output) / "eval.json").read_text()
    assert "questions_options.url=https://me:***@host/q" in record and "hush" not in record


def test_finished_arms_are_not_scored_again(config, loader):
    first = evaluate(config, loader)

    def never(folder):
        raise AssertionError("no model is needed")

    again = evaluate(config, never)
    assert again["perplexity"] == first["perplexity"]


def test_an_evaluation_that_stopped_goes_on(config, loader):
    def dies_at_second(folder):
        if folder.name == "without":
            raise KeyboardInterrupt
        return loader(folder)

    with pytest.raises(KeyboardInterrupt):
        evaluate(config, dies_at_second)
    assert not (Path(config.output) / "eval.json").exists()
    loaded = []
    result = evaluate(config, lambda folder: loaded.append(folder.name) or loader(folder))
    assert loaded == ["without"]
    other = config.model_copy(update={"output": config.output + "2"})
    assert result["perplexity"] == evaluate(other, loader)["perplexity"]


def test_there_is_never_more_than_one_model_in_memory(config, loader):
    loading, given = one_at_a_time(loader)
    evaluate(config, loading)
    assert len(given) == 2


def test_a_report_is_made_from_any_folder(config, world, loader, tmp_path, monkeypatch):
    monkeypatch.chdir(world.folder)
    evaluate(config.model_copy(update={"runs": {"a": "with", "b": "./without"}}), loader)
    monkeypatch.chdir(tmp_path)
    inputs = read_inputs(ReportConfig(eval=config.output, output="page.html"))
    assert [run.record["name"] for run in inputs.runs.values()] == ["with", "without"]


@pytest.mark.parametrize("change", [{"seed": 7}, {"num_documents": 30}, {"max_tokens": 9}])
def test_other_settings_score_again(config, loader, change):
    evaluate(config, loader)
    loaded = []
    evaluate(
        config.model_copy(update=change), lambda folder: loaded.append(folder) or loader(folder)
    )
    assert loaded


def test_a_newer_checkpoint_scores_again(config, world, loader, tmp_path):
    run = shutil.copytree(world.runs["with"], tmp_path / "with")
    config = config.model_copy(update={"runs": {"with": str(run)}})
    evaluate(config, loader)
    newer = shutil.copytree(
        run / "checkpoints" / "step_00000100", run / "checkpoints" / "step_00000200"
    )
    rewrite_record(newer, step=200)
    loaded = []
    result = evaluate(config, lambda folder: loaded.append(folder) or loader(folder))
    assert loaded and result["runs"]["with"]["step"] == 200


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_scored(
    config, world, loader, tmp_path, capsys
):
    run = shutil.copytree(world.runs["with"], tmp_path / "with")
    newer = run / "checkpoints" / "step_00000200"
    shutil.copytree(run / "checkpoints" / "step_00000100", newer)
    rewrite_record(newer, step=200)
    (newer / "__9_0.distcp").write_bytes(b"foreign")
    result = evaluate(config.model_copy(update={"runs": {"with": str(run)}}), loader)
    assert result["runs"]["with"]["step"] == 100
    assert (
        f"the checkpoint {newer} is not whole: __9_0.distcp does not belong to it; "
        "step_00000100 is used"
    ) in capsys.readouterr().err


def test_a_damaged_cache_file_is_scored_again(config, loader):
    first = evaluate(config, loader)
    for path in (Path(config.output) / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert evaluate(config, loader)["perplexity"] == first["perplexity"]


def test_questions_are_answered_in_every_condition(config, loader, tmp_path):
    path = write(tmp_path / "q.jsonl", [question(n) for n in range(24)])
    result = evaluate(config.model_copy(update={"questions": str(path)}), loader)["questions"]
    assert result["asked"] == 24
    told = line(
        result["cells"], kind="local", group="all", run="with", condition="with", rule="by_sum"
    )
    wrong = line(
        result["cells"],
        kind="local",
        group="all",
        run="with",
        condition="wrong_country",
        rule="by_sum",
    )
    assert told["accuracy"] == 1.0 and wrong["accuracy"] < 0.5  # options are the countries' letters


def floors_of(world, path, nats, skip=()):
    with gzip.open(path, "wt") as out:
        for n, (_, host, *_) in enumerate(world.documents):
            if n not in skip:
                entry = {"id": f"s-{n}", "url": f"https://{host}/{n}"}
                names = ("title_with", "body_with", "title_without", "body_without")
                entry |= dict(zip(names, nats, strict=True))
                out.write(json.dumps(entry) + "\n")
    return str(path)


def test_floors_are_matched_by_url_and_compared_on_the_same_documents(
    config, world, loader, tmp_path
):
    path = floors_of(world, tmp_path / "floors.jsonl.gz", (1.0, 20.0, 1.0, 30.0), skip={3, 4})
    result = evaluate(config.model_copy(update={"floors": path}), loader)["floor"]
    assert (result["documents"], result["of"]) == (58, 60)
    floor = line(result["lines"], condition="without", run=None)
    assert (floor["title"], floor["body"]) == (1.0, 30.0)
    with np.load(Path(config.output) / "documents.npz") as arrays:
        row = arrays["keys"].tolist().index("with/with")
        used = ~np.isin(arrays["index"], [3, 4])
        body = (arrays["body"] + arrays["eos"])[row, used].mean()
    assert line(result["lines"], condition="with", run="with")["body"] == pytest.approx(body)


def test_floors_of_another_corpus_are_an_error(config, world, loader, tmp_path):
    path = floors_of(world, tmp_path / "f.gz", (1, 1, 1, 1), skip=set(range(60)))
    with pytest.raises(UserError, match="names no document of split test"):
        evaluate(config.model_copy(update={"floors": path}), loader)


def test_mistakes_are_one_clear_line(config, world, loader, tmp_path):
    def fails(match, **change):
        with pytest.raises(UserError, match=match) as caught:
            evaluate(config.model_copy(update=change), loader)
        assert "\n" not in str(caught.value)

    fails("no token store at", store=str(tmp_path / "none"))
    fails("no such folder", runs={"with": str(tmp_path / "none")})
    fails("has no split dev", split="dev")
    fails("validation of .* is empty", split="validation")
    fails("cannot write", output=str(world.runs["with"] / "run.json" / "out"))
    unfinished = make_run(tmp_path / "unfinished", world.store, fields=())
    shutil.rmtree(unfinished / "checkpoints")
    fails("no whole checkpoint", runs={"x": str(unfinished)})
    (unfinished / "run.json").write_text("{")
    fails("is not JSON", runs={"x": str(unfinished)})


def test_a_run_of_another_tokenizer_is_an_error(config, world, loader, tmp_path):
    run = make_run(tmp_path / "other", world.store, fields=())
    checkpoint = run / "checkpoints" / "step_00000100"
    fingerprint = read_record(checkpoint)["fingerprint"]
    rewrite_record(checkpoint, fingerprint=fingerprint | {"tokenizer": "0" * 64})
    with pytest.raises(UserError, match=r"runs\.other=.* another tokenizer"):
        evaluate(config.model_copy(update={"runs": {"other": str(run)}}), loader)


def test_a_model_of_a_smaller_vocabulary_is_an_error(config, loader):
    def small(folder):
        scorer = loader(folder)
        scorer.vocab_size = 100
        return scorer

    with pytest.raises(UserError, match="100 tokens and its tokenizer 259"):
        evaluate(config, small)


def test_one_country_is_evaluated_without_the_wrong_country_condition(loader, tmp_path):
    store = make_store(tmp_path / "one", [d for d in texts(60) if d[0] == "ke"])
    run = make_run(tmp_path / "with", store, fields=("country",))
    config = EvalConfig(
        runs={"with": str(run)}, store=str(store.root), output=str(tmp_path / "out"),
        bootstrap_samples=100,
    )  # fmt: skip
    with pytest.raises(UserError, match="leave it out of conditions="):
        evaluate(config, loader)
    conditions = ("with", "without", "shuffled")
    result = evaluate(config.model_copy(update={"conditions": conditions}), loader)
    assert result["documents"]["countries_without_documents"] == ["gb", "ie", "jm", "ng"]


def test_runs_of_another_template_are_scored_on_bare_texts(config, loader, world, tmp_path):
    run = make_run(tmp_path / "with", world.store, fields=("url",), template="meco")
    bare = config.model_copy(update={"runs": {"with": str(run)}, "output": str(tmp_path / "bare")})
    result = evaluate(bare, loader)
    tokens = {line["tokens"] for line in result["perplexity"]["cells"] if line["group"] == "all"}
    assert len(tokens) == 3  # of title, of body, of both: the same in every condition
    both = config.model_copy(update={"runs": {**config.runs, "meco": str(run)}})
    with pytest.raises(UserError, match=r"runs\.meco was trained under another template than runs"):
        evaluate(both, loader)


def test_the_byte_tokenizer_of_these_tests_has_one_token_a_byte(tmp_path):
    tokenizer, _ = byte_tokenizer(tmp_path)
    assert len(tokenizer.encode("URL: é\n")) == 8
