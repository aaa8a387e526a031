"""`geo-nemo plan`: its figures against the run itself, its JSON, and its mistakes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geo_nemo.cli import plan_tables
from geo_nemo.cli.main import main
from geo_nemo.cli.plan_tables import duration
from geo_nemo.config import Run
from geo_nemo.config.load import load_config
from geo_nemo.data.batches import BatchStream
from geo_nemo.model.flops import train_flops
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import prepare

ROOT = Path(__file__).parents[3]
DEMO = (
    "experiment=demo",
    "data.seq_length=128",
    "data.packing_window=128",
    "train.steps=40",
    "train.warmup_steps=2",
    "train.global_batch_size=8",
    "train.micro_batch_size=4",
)
# Of a window's rows against all of them: the shorter stage draws about 150 documents.
SAMPLED = 0.06


@pytest.fixture
def plan(monkeypatch, capsys, tmp_path):
    """Run the command: its exit code, what it printed, its errors, and its JSON or None."""

    def run(*arguments, command="plan", **environment):
        monkeypatch.setenv("COLUMNS", "140")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        path = tmp_path / "plan.json"
        path.unlink(missing_ok=True)
        written = ("--json", str(path)) if command == "plan" else ()
        monkeypatch.setattr(sys, "argv", ["geo-nemo", command, *arguments, *written])
        with pytest.raises(SystemExit) as ended:
            main()
        found = json.loads(path.read_text()) if path.exists() else None
        return ended.value.code, *capsys.readouterr(), found

    return run


@pytest.fixture
def demo(tiny_store, tmp_path):
    return (*DEMO, f"data.store={tiny_store}", f"output_dir={tmp_path / 'out'}")


def layouts_of_the_docs():
    """Experiment, GPUs, what is said of it: from the table of docs/recipes.md."""
    text = (ROOT / "docs" / "recipes.md").read_text().partition("## On how many GPUs")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    for line in lines:
        experiment, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for gpus, cell in zip((1, 8, 32, 512), cells, strict=True):
            yield experiment.strip("`"), gpus, cell


@pytest.mark.parametrize(("experiment", "gpus", "cell"), list(layouts_of_the_docs()))
def test_a_layout_of_the_docs_needs_what_they_say(plan, experiment, gpus, cell):
    single = ["parallel=single"] if gpus == 1 else []
    gibibytes, _, setting = cell.partition(" ")
    fits = cell != "does not fit"
    settings = [setting.strip("`")] if fits and setting else []
    code, _, errors, found = plan(experiment, *single, *settings, "--gpus", str(gpus))
    assert code == (0 if fits else 2), errors
    if fits:
        assert round(found["memory_total"] / 2**30) == int(gibibytes)
    if settings:  # it would not fit without
        assert plan(experiment, *single, "--gpus", str(gpus))[0] == 2


def test_every_size_has_layouts_for_a_gpu_a_node_four_and_64():
    sizes = {name.rpartition("_")[0].split("_")[0] for name, _, _ in layouts_of_the_docs()}
    recipes = {path.stem for path in (ROOT / "recipes" / "model").glob("*.yaml")} - {"demo"}
    recipes -= {name for name in recipes if "-" in name}  # others' shapes, for init.checkpoint
    assert {name.partition("/")[2] for name in sizes} == recipes


def test_1b_on_512_gpus_is_what_a_calculation_by_hand_gives(plan):
    code, printed, errors, found = plan(
        "localization/1b_global_with", "parallel=overlap", "--gpus", "512", "--mfu", "0.45"
    )
    assert (code, errors) == (0, "")
    assert found["parameters"] == 1_347_487_744
    tokens = 10_000 * 2048 * 2048
    # 16 layers of 4 x 2048^2 and 3 x 2048 x 5632, the output layer, and attention over half of a
    # row: 12 x 16 x 2048 x 1024 a token.
    weights = 16 * (4 * 2048**2 + 3 * 2048 * 5632) + 128_256 * 2048
    per_token = 6 * weights + 6 * 16 * 2048 * 2048
    seconds = per_token * tokens / (512 * 989.4e12 * 0.45)
    assert found["tokens"] == tokens
    assert found["flops_per_token"] == pytest.approx(per_token)
    assert found["time"]["seconds"] == pytest.approx(seconds)
    assert found["time"]["gpu_hours"] == pytest.approx(seconds * 512 / 3600)
    assert 20 < seconds / 60 < 22
    assert f"{seconds / 60:.0f} min" in printed
    for text in (
        "1,347,487,744",
        "no store",
        "a sequence as one document",
        "MFU 45% of 989.4 TFLOPS",
    ):
        assert text in printed
    memory = found["memory"]
    assert memory["optimizer"] == -(-1_347_487_744 * 12 // 512)
    assert found["memory_total"] == sum(
        value for name, value in memory.items() if name not in ("pipeline_rank", "parameters")
    )


def test_every_figure_of_the_json_is_in_the_tables(plan, demo):
    """Each number and name of the JSON is printed, in its own form."""
    code, printed, _, found = plan(*demo, "--tflops", "100")
    assert code == 0
    sizes = [value for name, value in found["memory"].items()
             if name not in ("pipeline_rank", "parameters")]  # fmt: skip
    sizes += [found["memory_total"], *found["checkpoint"].values()]
    shown = [plan_tables.size_text(size) for size in sizes if size]
    whole = ("parameters", "padded_parameters", "vocab_size", "gpus", "tokens_per_step", "steps")
    shown += [f"{found[name]:,}" for name in (*whole, "tokens")]
    shown += [f"{found['flops']:.4g}", f"{found['flops_per_token']:.4g}"]
    time = found["time"]
    shown += [duration(time["seconds"]), duration(time["seconds_per_step"])]
    shown += [f"{time['tokens_per_second']:,.0f}", f"{time['gpu_hours']:,.1f}"]
    for stage in found["stages"]:
        shown += [stage["name"], stage["policy_hash"], f"{stage['documents']:,}"]
        for country in stage["countries"]:
            shown += [country["name"], f"{country['drawn_tokens']:,}", f"{country['epochs']:.2f}"]
    assert [text for text in shown if text not in printed] == []


def test_work_and_epochs_are_those_of_the_run(plan, demo):
    """Against the batches that the MFU metric sees, and the ledger of the whole run."""
    settings = (*demo, "train.steps=400")
    *_, found = plan(*settings)
    run = load_config("train", Run, settings)
    prepared = prepare(run, world_size=1)
    ledger = Ledger(prepared).at(run.train.steps)["stages"]
    for stage, line in zip(prepared.stages, found["stages"], strict=True):
        stream = BatchStream(prepared.dataset(stage), 8, 4, 0, 1, prefetch=0)
        steps = zip(range(stage.steps), stream, strict=False)
        batches = [batch for _, step in steps for batch in step]
        lengths = np.concatenate([np.diff(batch.cu_seqlens) for batch in batches])
        positions = sum(batch.tokens.size for batch in batches)
        assert positions == line["tokens"]
        vocab_size = prepared.tokenizer.vocab_size
        flops = train_flops(run.model, vocab_size, positions, lengths) / positions
        assert line["flops_per_token"] == pytest.approx(flops, rel=1e-3)
        trained = ledger[stage.name]["trained"]
        assert line["epochs"] * line["documents"] == pytest.approx(
            trained["documents"], rel=SAMPLED
        )
        drawn = sum(country["drawn_tokens"] for country in line["countries"])
        assert drawn == pytest.approx(trained["text_tokens"], rel=SAMPLED)
        assert {c["name"] for c in line["countries"]} >= trained["by_country"].keys()


def test_countries_are_told_where_continents_are_sampled(plan, demo):
    sampling = "stages.condition.sampling={by: continent, temperature: 3}"
    *_, printed, _, found = plan(*demo, sampling)
    line = found["stages"][0]
    assert line["by"] == "continent"
    assert "Stage condition: by country" in printed
    assert "Stage condition: by continent" in printed
    run = load_config("train", Run, (*demo, sampling))
    of = prepare(run, world_size=1).store.continent_of
    for group in line["groups"]:
        inside = [c for c in line["countries"] if of[c["name"]] == group["name"]]
        assert sum(c["documents"] for c in inside) == group["documents"]
        assert sum(c["tokens"] for c in inside) == group["tokens"]
        assert sum(c["share"] for c in inside) == pytest.approx(group["share"])
        for country in inside:
            assert country["epochs"] == pytest.approx(group["epochs"])


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_dry_run_prints_the_plan_of_the_device_that_is_here(plan, demo, device):
    """Without a chip's memory and time, which a CPU has none of."""
    _, printed, _, _ = plan(*demo, "parallel.tensor=2", "device=cpu", "--gpus", "4")
    settings = (*demo, "parallel.tensor=2", f"device={device}")
    code, dry, _, _ = plan(*settings, "--dry-run", command="train", WORLD_SIZE="4", RANK="0")
    assert code == 0
    sizes, work = dry.split("Work and time")
    lines = printed.split("Work and time")[0].splitlines()
    of_the_chip = [line for line in lines if "of the H100" in line]
    assert len(of_the_chip) == 1
    assert sizes.splitlines() == [line for line in lines if line not in of_the_chip]
    assert "not foreseen on a CPU" in work
    _, on_gpu, _, _ = plan(*demo, "parallel.tensor=2", "device=gpu", "--gpus", "4")
    assert on_gpu.split("Work and time")[0] != printed.split("Work and time")[0]


def test_without_a_store_the_sizes_are_the_same(plan, demo):
    *_, with_store = plan(*demo)
    size = str(with_store["vocab_size"])
    code, _, errors, without = plan(*demo, "--no-store", "--vocab-size", size)
    assert (code, errors) == (0, "")
    for name in ("parameters", "memory", "checkpoint", "tokens", "layout"):
        assert without[name] == with_store[name], name
    assert without["stages"][0]["documents"] is None
    # Rows of several documents have less attention than rows of one.
    assert without["flops_per_token"] > with_store["flops_per_token"]


def test_a_store_that_is_not_there_yet_is_told(plan):
    code, _, errors, found = plan(*DEMO, "data.store=/nowhere/store")
    assert code == 0
    assert errors == "geo-nemo: no store at /nowhere/store: sizes alone\n"
    assert found["store"] is None


def test_without_a_known_peak_there_is_no_time(plan, demo):
    code, printed, _, found = plan(*demo)
    assert code == 0
    assert found["time"] is None
    assert "is not known for this precision: geo-nemo plan ... --tflops N" in printed
    *_, found = plan(*demo, "--tflops", "100", "--mfu", "0.5")
    assert found["time"]["seconds"] == pytest.approx(found["flops"] / 50e12)
    assert found["chip_bytes"] is None


def test_a_plan_needs_no_torch(demo):
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from geo_nemo.cli.plan import command\n"
        f"done = CliRunner().invoke(command, {list(demo)!r}, catch_exceptions=False)\n"
        "assert done.exit_code == 0, done.output\n"
        "assert not {'torch', 'megatron'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


MISTAKES = {
    "layout": (["parallel.tensor=3", "--gpus", "3"], "num_attention_heads: 4 is not a multiple"),
    "gpus": (["parallel.tensor=2", "--gpus", "3"], "needs a multiple of 2 processes"),
    "batch": (["--gpus", "3"], "choose a multiple of 12"),
    "chip": (["--chip", "a100"], "the peak of a100 in fp32 is not known: add --tflops"),
    "unknown chip": (["--chip", "v100"], "'v100' is not one of"),
    "mfu": (["--mfu", "45"], "45.0 is not in the range 0<x<=1"),
    "key": (["train.stepz=3"], "unknown key train.stepz; did you mean train.steps?"),
    "vocabulary": (["--vocab-size", "9"], "the store has a vocabulary: leave out --vocab-size"),
    "experiment": (["1b_europe"], "experiment=1b_europe is not a recipe"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_code_two(plan, demo, mistake):
    arguments, message = MISTAKES[mistake]
    code, printed, errors, found = plan(*demo, *arguments)
    assert (code, printed, found) == (2, "", None)
    assert errors.count("\n") == 1
    assert message in errors


def test_what_does_not_fit_is_told_with_a_way_that_does(plan):
    settings = ["model=8b", "train.micro_batch_size=4", "data.seq_length=8192"]
    code, printed, errors, found = plan(*settings, "--gpus", "8")
    assert code == 2
    assert errors.startswith("geo-nemo: a rank needs ")
    assert errors.count("\n") == 1
    assert "Memory a rank" in printed and found["memory_total"] > found["chip_bytes"]
    advice = errors.strip().partition(" with ")[2].split()
    assert any(word.startswith("parallel.tensor=") for word in advice)
    gpus = [] if "--gpus" in advice else ["--gpus", "8"]
    code, _, errors, found = plan(*settings, *advice, *gpus)
    assert (code, errors) == (0, "")
    assert found["memory_total"] < 0.9 * found["chip_bytes"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (90, "90 s"),
        (150, "2 min"),
        (3599, "1 h 0 min"),
        (86_399, "1 d 0 h"),
        (100_000, "1 d 4 h"),
        (10 * 86_400, "10 d 0 h"),
    ],
)
def test_a_duration_is_read_at_a_glance(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("precision", "lines"), [("bf16", 1), pytest.param("fp32", 0, marks=pytest.mark.very_slow)]
)
def test_a_dry_run_tells_of_bf16_on_a_cpu_that_has_none(demo, precision, lines):
    settings = (*demo, f"precision={precision}", "device=cpu", "--dry-run")
    done = subprocess.run(
        [sys.executable, "-m", "geo_nemo", "train", *settings],
        capture_output=True, text=True,
        env=os.environ | {"ATEN_CPU_CAPABILITY": "avx2"},
    )  # fmt: skip
    assert done.returncode == 0
    # And nothing else: no library speaks of kernels that a CPU has not.
    assert done.stderr.count("\n") == lines, done.stderr
    assert done.stderr.count("BF16 is many times slower than FP32 on this CPU") == lines


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("logging.loggers=[nowhere.at_all:Table]", "at_all:Table needs the package nowhere"),
        ("callbacks.use=[nowhere.at_all:Table]", "callbacks.use: nowhere.at_all:Table does not"),
    ],
)
def test_a_dry_run_finds_a_logger_and_a_callback_that_are_not_there(plan, demo, setting, told):
    code, _, errors, _ = plan(*demo, setting, "device=cpu", "--dry-run", command="train")
    assert code == 2 and errors.count("\n") == 1
    assert told in errors


def test_a_global_recipe_over_news_of_one_continent_is_told_what_fits(plan, tiny_store, tmp_path):
    store = tmp_path / "part"
    words = ("--documents", "40", "--where", "continent=Africa", "--out", str(store))
    assert plan("sample", str(tiny_store), *words, command="store")[0] == 0
    settings = ["localization/1b_global_with", "--gpus", "32", f"data.store={store}"]
    for stage in ("condition", "cooldown"):
        code, _, errors, _ = plan(*settings)
        assert code == 2
        assert f"stages.{stage}.sampling.weights: America is not in the store" in errors
        settings += re.findall(r"sampling@\S+=natural", errors)
    assert plan(*settings)[0] == 0
