"""The command line of the benchmarks, and what `prep` makes of its options."""

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from click.testing import CliRunner

from benchmarks import calling
from benchmarks.__main__ import main
from benchmarks.prep import beside, near_dedup, setting
from benchmarks.prep import command as prep
from benchmarks.prep.peers import megatron
from benchmarks.prep.setting import Setting
from benchmarks.results import compare
from geo_nemo.common.errors import UserError

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True, cwd=ROOT
    )


@pytest.mark.very_slow
def test_help_lists_benchmarks_and_metrics_with_an_example():
    assert "Example: python -m benchmarks prep --quick" in run("--help").stdout
    shown = run("prep", "--help")
    assert shown.returncode == 0
    assert "Example: python -m benchmarks prep" in shown.stdout
    assert all(name in " ".join(shown.stdout.split()) for name in prep.METRICS)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["nothing"], "benchmarks: no benchmark 'nothing'; there is prep, loader"),
        (["experimen"], "benchmarks: no benchmark 'experimen'; did you mean experiment?"),
        (["prep", "--only", "nothing"], "benchmarks: Invalid value for '--only': 'nothing' is not"),
        (["experiment"], "benchmarks: Missing argument 'NAME'; example: python -m benchmarks exp"),
        (["experiment", "x", "--at-once", "0"], "benchmarks: Invalid value for '--at-once': 0 is"),
        (["law", "--result", "x"], "benchmarks: No such option '--result'."),
    ],
)
def test_a_command_line_that_says_nothing_is_one_line(said, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *said])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.startswith(words) and told.count("\n") == 1


def test_options_that_exclude_each_other_are_refused_in_a_line():
    both = run("prep", "--quick", "--large")
    assert (both.returncode, both.stderr) == (
        2, "benchmarks: --quick and --large exclude each other: give one of them\n",
    )  # fmt: skip


@pytest.mark.very_slow
def test_pages_with_known_text_are_asked_for_in_a_line(tmp_path):
    none = run("prep", "--only", "extraction_f1")
    assert none.returncode == 2 and len(none.stderr.splitlines()) == 1
    assert "add --extraction PATH" in none.stderr
    empty = run("prep", "--only", "extraction_f1", "--extraction", str(tmp_path))
    assert empty.returncode == 2 and "no ground-truth.json and html/ in it" in empty.stderr


@pytest.mark.very_slow
def test_stages_are_measured_beside_another_checkout(tmp_path, monkeypatch):
    """Whose files are the first on the path; here they are of this one."""
    asked = run("prep", "--only", "ingest_beside")
    assert asked.returncode == 2 and "add --beside PATH" in asked.stderr
    monkeypatch.setattr(beside, "QUICK_BYTES", 2_000_000)
    setting = Setting(tmp_path, True, False, 1, None, None, None, beside=ROOT)
    rows = beside.measure(setting)
    assert [row.metric for row in rows] == ["ingest_beside", "tokenise_beside"]
    assert all(row.peer == str(ROOT) and row.value > 0 < row.peer_value for row in rows)
    assert (tmp_path / "beside-ours/work/tokenise").is_dir()
    assert beside.measure(replace(setting, beside=None)) == []


@pytest.mark.very_slow
def test_extractors_are_compared_on_pages_that_are_given(tmp_path):
    lines = [f"Line {n} of the story was told by {n} people in town." for n in range(12)]
    body = "".join(f"<p>{line}</p>" for line in lines)
    page = f"<html><body><nav><a href=/>Home</a></nav><article>{body}</article></body></html>"
    (tmp_path / "html").mkdir()
    names = ["00000000ab", "00000001cd"]
    for name in names:
        (tmp_path / "html" / f"{name}.html.gz").write_bytes(gzip.compress(page.encode()))
    truth = {name: {"articleBody": "\n".join(lines)} for name in names}
    (tmp_path / "ground-truth.json").write_bytes(orjson.dumps(truth))
    asked = ["--only", "extraction_f1", "--extraction", str(tmp_path), "--rounds", "1"]
    result = run("prep", *asked, "--json", str(tmp_path / "rows.json"))
    assert result.returncode == 0, result.stderr
    rows = orjson.loads((tmp_path / "rows.json").read_bytes())
    assert {row["peer"] for row in rows} == {"trafilatura", "resiliparse"}
    assert all(row["metric"] == "extraction_f1" and row["value"] == 1.0 for row in rows)


def test_a_module_that_measures_several_metrics_runs_once_and_only_those_wanted_are_kept(
    monkeypatch,
):
    calls = []

    def module(name):
        def measure(given):
            calls.append(name)
            metrics = [
                metric
                for metric in prep.METRICS
                if f"benchmarks.prep.{prep.METRICS[metric]}" == name
            ]
            return [compare(metric, 1.0, "s", "peer", 2.0, "less") for metric in metrics]

        return SimpleNamespace(measure=measure)

    monkeypatch.setattr(calling.importlib, "import_module", module)
    only = ("store_bytes", "jsonl_to_store_vs_megatron")
    rows = calling.measure("benchmarks.prep", prep.METRICS, only, None)
    assert calls == ["benchmarks.prep.to_store"]
    assert [row.metric for row in rows] == ["jsonl_to_store_vs_megatron", "store_bytes"]


def test_options_reach_the_measurement_and_rows_the_file(tmp_path, monkeypatch):
    given = []

    def measure(package, metrics, only, options):
        given.append((options, only))
        return [compare("scaling", 1.0, "s", "one worker", 2.0, "less")]

    monkeypatch.setattr(calling, "measure", measure)
    arguments = ["--quick", "--only", "scaling", "--json", str(tmp_path / "rows.json")]
    result = CliRunner().invoke(prep.command, [*arguments, "--work", str(tmp_path / "w")])
    assert result.exit_code == 0, result.output
    assert given == [
        (setting.Setting(tmp_path / "w", True, False, 2, None, None, None), ("scaling",))
    ]
    (row,) = orjson.loads((tmp_path / "rows.json").read_bytes())
    assert (row["metric"], row["ratio"]) == ("scaling", 2.0)
    assert "2x" in result.output


def options(folder: Path, **changes) -> setting.Setting:
    given = {"quick": True, "large": False, "rounds": 1, "input": None, "tokenizer": None,
             "megatron": None}  # fmt: skip
    return setting.Setting(folder, **(given | changes))


def test_a_corpus_is_of_about_the_size_that_is_asked_and_the_same_again(tmp_path):
    corpus = options(tmp_path).corpus(200_000)
    first = corpus.path.read_bytes()
    assert 200_000 <= corpus.text_bytes < 240_000
    assert corpus.text_bytes == sum(
        len(orjson.loads(line)["text"].encode()) for line in first.splitlines()
    )
    assert options(tmp_path).corpus(200_000).path.read_bytes() == first
    assert corpus.case == "generated, 0 MB of text"


@pytest.mark.parametrize("name", ["news.jsonl", "news.jsonl.gz"])
def test_a_file_of_the_user_s_is_the_corpus_without_records_that_have_no_text(tmp_path, name):
    rows = [{"id": "a", "text": "one"}, {"id": "b", "text": ""}, {"id": "c", "text": "three"}]
    data = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    corpus = options(tmp_path, input=tmp_path / name).corpus(1000)
    assert (corpus.text_bytes, corpus.kind) == (8, "input")
    assert [orjson.loads(line)["id"] for line in corpus.path.open("rb")] == ["a", "c"]


@pytest.mark.parametrize("content", [b"no json\n", b"[1]\n", b'{"body": "x"}\n', b""])
def test_a_file_without_texts_is_the_user_s_mistake(tmp_path, content):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"^--input .*x\.jsonl"):
        options(tmp_path, input=tmp_path / "x.jsonl").corpus(10)


def test_the_vocabulary_loads_in_our_tokenizer_and_has_both_control_tokens(tmp_path):
    from geo_nemo.tokenizers.load import load_tokenizer

    texts = ["the cat sat on the mat in 1999.\n"] * 50
    setting.train_vocabulary(tmp_path / "tokenizer.json", iter(texts), 300)
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.decode(tokenizer.encode(texts[0])) == texts[0]
    assert setting.control_tokens(tmp_path / "tokenizer.json") == (setting.BOS, setting.EOS)


def test_megatron_is_not_installed_without_a_checkout_that_has_its_tool(tmp_path):
    assert megatron.reason_against(None).startswith("not installed: give --megatron")
    assert "has no tools/preprocess_data.py" in megatron.reason_against(tmp_path)
    fast = megatron.reason_against(tmp_path, megatron.FAST_TOOL)
    assert "has no tools/preprocess_data_fast.py" in fast


def test_recall_counts_similar_pairs_in_one_cluster_and_unlike_ones_apart():
    pairs = [
        near_dedup.Pair(0, 1, 0.9), near_dedup.Pair(0, 2, 0.8), near_dedup.Pair(1, 2, 0.6),
        near_dedup.Pair(3, 4, 0.95), near_dedup.Pair(3, 5, 0.2), near_dedup.Pair(4, 5, 0.1),
    ]  # fmt: skip
    found = near_dedup.quality(near_dedup.np.array([0, 0, 2, 3, 3, 3]), pairs)
    assert found == {"recall": pytest.approx(2 / 3), "unlike": 1.0, "pairs": 3}
