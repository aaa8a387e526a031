"""Every recipe is a valid run, and the papers' runs are what the papers say."""

import json
import sys

import pytest

from geo_nemo.cli import main as cli
from geo_nemo.cli.recipes import all_recipes
from geo_nemo.config import Run, UserError
from geo_nemo.config.launch import Launch
from geo_nemo.config.load import load_config
from geo_nemo.config.logging import Logging
from geo_nemo.config.rates import learning_rate
from geo_nemo.config.stage_bounds import different_texts
from geo_nemo.config.whole import flatten
from geo_nemo.model.shape import padded_vocab_size, parameter_count

VOCABULARY = 128_256
FULL = ("url", "country", "continent")
REGIONS = ("africa", "america", "asia", "europe")
# The 31 models of arXiv 2601.15236: name, layers, fields, documents.
PAPER = {
    **{
        f"{size}_{region}_{condition}": (layers, fields, {"continents": [region.capitalize()]})
        for size, layers in (("0.5b", 24), ("1b", 16))
        for region in REGIONS
        for condition, fields in (("with", FULL), ("without", ()))
    },
    **{
        f"{size}_global_{condition}": (layers, fields, {})
        for size, layers in (("0.5b", 24), ("1b", 16))
        for condition, fields in (("with", FULL), ("without", ()))
    },
    **{
        f"1b_without_{region}_{condition}": (
            16,
            fields,
            {"exclude_continents": [region.capitalize()]},
        )
        for region in REGIONS
        for condition, fields in (("with", FULL), ("without", ()))
    },
    "1b_global_url": (16, ("url",), {}),
    "1b_global_url_country": (16, ("url", "country"), {}),
    "1b_global_url_continent": (16, ("url", "continent"), {}),
}
LATER = {
    "1b_global_country": (16, ("country",), {}),
    "1b_global_continent": (16, ("continent",), {}),
    "3b_global_with": (28, FULL, {}),
    "3b_global_without": (28, (), {}),
}


def run(experiment: str) -> Run:
    return load_config("train", Run, [f"experiment={experiment}", "output_dir=/r", "data.store=/s"])


def names(group: str, folder: str = "") -> list[str]:
    start = f"{folder}/" if folder else ""
    return [name.removeprefix(start) for name, _ in all_recipes()[group] if name.startswith(start)]


def test_the_matrix_has_31_models_and_those_that_came_later():
    assert len(PAPER) == 31
    assert sorted(names("experiment", "paper")) == sorted(PAPER | LATER)
    assert sorted(names("experiment", "localization")) == sorted(PAPER | LATER)


@pytest.mark.parametrize("name", PAPER | LATER)
def test_a_run_of_the_paper_is_as_it_was(name):
    layers, fields, select = (PAPER | LATER)[name]
    made = run(f"paper/{name}")
    assert made.name == f"paper-{name}"
    assert made.model.num_layers == layers
    (stage,) = made.stages.values()
    assert stage.metadata.fields == fields
    assert stage.metadata.url_form == "full" and not stage.metadata.mask_loss
    assert json.loads(stage.select.canonical()) == select
    assert stage.sampling.by == ("continent" if "_global_" in name else "country")
    assert made.data.packing == "concat" and not made.data.prefix_fragments
    train = made.train
    assert train.global_batch_size * made.data.seq_length == 4_194_304 and train.steps == 10_000
    assert (train.lr, train.min_lr, train.warmup_steps) == (3e-3, 3e-4, 500)
    assert (train.weight_decay, train.clip_grad) == (0.033, 0.1)


@pytest.mark.parametrize("name", PAPER | LATER)
def test_the_same_run_with_our_defaults_cools_down_on_the_same_documents(name):
    _, fields, select = (PAPER | LATER)[name]
    made = run(f"localization/{name}")
    condition, cooldown = made.stages["condition"], made.stages["cooldown"]
    assert condition.metadata.fields == fields and cooldown.metadata.fields == ()
    # Half is told nothing, of those that are told; the others are not told and dropped.
    assert condition.metadata.dropout == (0.5 if fields else 0)
    assert condition.metadata.url_form == "host" and condition.metadata.mask_loss
    for stage in (condition, cooldown):
        assert json.loads(stage.select.canonical()) == select
        assert stage.sampling.by == ("continent" if "_global_" in name else "country")
        # Told or not, the text is bare.
        assert stage.metadata.text.label("title") == stage.metadata.text.label("body") == ""
    assert (condition.fraction, cooldown.fraction) == (0.8, 0.2)
    assert made.data.packing == "best_fit" and made.data.prefix_fragments


@pytest.mark.parametrize(("metadata", "share"), [("dropout", 0.1), ("country", 0.5), ("none", 0)])
def test_a_recipe_of_metadata_has_its_own_number_of_untold_documents(metadata, share):
    chosen = f"metadata@stages.condition.metadata={metadata}"
    for settings in (
        [f"experiment=localization/1b_global_{metadata}"],
        ["experiment=localization/1b_global_with", chosen],
    ):
        made = load_config("train", Run, [*settings, "output_dir=/r", "data.store=/s"])
        assert made.stages["condition"].metadata.dropout == share
    alone = load_config("train", Run, ["experiment=demo", "output_dir=/r", "data.store=/s"])
    assert alone.stages["condition"].metadata.dropout == 0


def test_runs_after_beyond_urls_differ_in_what_is_told_alone():
    names_here = names("experiment", "beyond_urls")
    assert sorted(names_here) == ["append", "meta_tokens", "quality", "url", "without"]
    made = {name: run(f"beyond_urls/{name}") for name in names_here}
    told = {name: each.stages["condition"].metadata for name, each in made.items()}
    assert told["quality"].fields == ("quality",) and told["meta_tokens"].meta_tokens == 16
    assert told["append"].position == "append" and told["append"].weights["metadata"] == 1
    assert told["without"].fields == () and told["url"].fields == ("url",)
    for each in made.values():
        assert each.train == made["without"].train and each.data == made["without"].data
        assert each.stages["cooldown"] == made["without"].stages["cooldown"]
        # The cooldown meets no labels that the model has never read.
        assert different_texts(each) == ""


@pytest.mark.parametrize("size", ["600m", "1.6b", "3b", "8b"])
@pytest.mark.parametrize("condition", ["with", "without"])
def test_a_run_of_meco_conditions_for_36_000_steps_of_40_000(size, condition):
    made = run(f"meco/{size}_{condition}")
    assert made.train.steps * made.stages["condition"].fraction == 36_000
    first, cooldown = (made.stages[name].metadata for name in ("condition", "cooldown"))
    assert first.fields == (("url",) if condition == "with" else ()) and cooldown.fields == ()
    # MeCo's text has no labels, with and without its URL.
    assert first.text.label("body") == cooldown.text.label("body") == ""
    assert made.data.seq_length == 8192
    assert made.train.global_batch_size * made.data.seq_length == 4_194_304


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("1b", 1_347_487_744),  # published with arXiv 2601.15236
        ("8b", 8_030_261_248),  # published with Llama 3.1
        # 3,606,752,256 is Llama-3.2-3B's published 3,212,749,824 and an output layer of its own.
        ("3b", 3_212_749_824 + 128_256 * 3072),
    ],
)
def test_parameters_are_those_that_were_published(model, parameters):
    made = load_config("train", Run, [f"model={model}", "output_dir=/r", "data.store=/s"])
    assert parameter_count(made.model, VOCABULARY) == parameters


@pytest.mark.parametrize(
    ("model", "rows", "parameters"),
    [
        ("llama3.2-1b", 128_256, 1_235_814_400),
        ("qwen2.5-0.5b", 151_936, 494_032_768),
        ("qwen3-0.6b", 151_936, 596_049_920),
        ("mistral-7b", 32_768, 7_248_023_552),
    ],
)
def test_shapes_for_others_weights_have_as_many_as_those(model, rows, parameters):
    made = load_config("train", Run, [f"model={model}", "output_dir=/r", "data.store=/s"]).model
    assert parameter_count(made, rows) == parameters
    assert padded_vocab_size(made, rows - 100) == rows


def test_the_05b_has_403_million_parameters_without_embeddings():
    model = run("paper/0.5b_africa_with").model
    without = parameter_count(model, VOCABULARY) - 2 * VOCABULARY * model.hidden_size
    assert round(without / 1e6) == 403


def test_every_recipe_says_what_it_is_for():
    silent = [
        (g, n) for g, recipes in all_recipes().items() for n, purpose in recipes if not purpose
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("layout", "processes"), [("gpu", 1), ("node", 8), ("nodes4", 32), ("nodes64", 512), ("cpu", 1)]
)
def test_layouts_of_jobs(layout, processes):
    assert load_config("launch", Launch, [f"slurm={layout}"]).slurm.world_size == processes


def test_a_cooldown_from_a_checkpoint_asks_for_it_and_tells_no_metadata():
    settings = ["experiment=cooldown_from", "model=3b", "output_dir=/r", "data.store=/s"]
    with pytest.raises(UserError, match=r"no value for init\.checkpoint: add init\.checkpoint="):
        load_config("train", Run, settings)
    made = load_config("train", Run, [*settings, "init.checkpoint=/runs/a"])
    (stage,) = made.stages.values()
    assert stage.metadata.fields == () and made.model.num_layers == 28
    # It ends where it says, and never rises above the rate that it begins with.
    rates = [learning_rate(made, step) for step in range(made.train.steps + 1)]
    assert max(rates) == rates[made.train.warmup_steps] == made.train.lr and rates[-1] == 0.0
    (cosine,) = {learning_rate(run(f"localization/1b_{r}_with"), 9000) for r in REGIONS}
    assert made.train.lr == pytest.approx(cosine, rel=0.02)


def test_keys_of_a_nested_config():
    assert flatten({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}


@pytest.fixture
def call(monkeypatch, capsys):
    def recipes(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geo-nemo", "recipes", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return (stopped.value.code, *capsys.readouterr())

    return recipes


def test_without_a_command_every_recipe_is_listed(call):
    code, out, _ = call()
    listed = {line.split()[0] for line in out.splitlines()}
    assert code == 0
    assert listed == {f"{g}={n}" for g, recipes in all_recipes().items() for n, _ in recipes}


def test_a_recipe_is_named_by_its_word_or_as_it_is_listed(call):
    as_word, as_listed = call("show", "meco/8b_with"), call("show", "experiment=meco/8b_with")
    assert as_word == as_listed and as_word[0] == 0 and "num_layers: 32" in as_word[1]
    assert call("diff", "meco/8b_with", "experiment=meco/8b_with") == (0, "", "")
    code, out, _ = call("diff", "paper/1b_africa_with", "localization/1b_africa_with", "seed=7")
    assert code == 1
    assert "data.packing: concat | best_fit" in out.splitlines()
    assert not [line for line in out.splitlines() if line.startswith("seed")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "modell"), "no group of recipes modell; there is data, experiment, logging"),
        (("list", "modell"), "did you mean model?"),
        (("show", "meco/8b_wiht"), "did you mean meco/8b_with?"),
        (("diff", "meco/8b_with"), "Missing argument 'B'"),
    ],
)
def test_a_recipe_that_is_not_there_is_one_line(call, words, message):
    code, out, err = call(*words)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ("jsonl", {}),
        ("tensorboard", {"tensorboard": True}),
        ("[tensorboard,wandb]", {"tensorboard": True, "wandb_project": "geo-nemo"}),
        ("prometheus", {"prometheus_port": 9464}),
        ("profile", {"profile": {"start_step": 20, "steps": 3, "ranks": (0,)}}),
    ],
)
def test_where_metrics_go_is_a_group_of_its_own(group, told):
    settings = ["experiment=demo", f"logging={group}", "output_dir=/r", "data.store=/s"]
    made = load_config("train", Run, settings).logging
    # The experiment's own setting of that section stays.
    assert made == Logging.model_validate({"every_steps": 5, **told})


@pytest.mark.parametrize(
    ("recipe", "fractions", "dropouts", "labels"),
    [("condition_cooldown", (0.8, 0.2), (0, 0), ""), ("half_told", (0.8, 0.2), (0, 0.5), ""),
     ("wsd", (0.8, 0.2), (0, 0), ""), ("replay", (0.8, 0.2), (0, 0), ""),
     ("quarter_untold", (0.8, 0.2), (0.25, 0), ""), ("half_untold", (0.8, 0.2), (0.5, 0), ""),
     ("labelled", (0.9, 0.1), (0, 0), "CONTENT: ")],
)  # fmt: skip
@pytest.mark.parametrize("experiment", ["demo", "localization/1b_global_with"])
def test_the_stages_of_each_recipe(experiment, recipe, fractions, dropouts, labels):
    settings = [f"experiment={experiment}", f"stages={recipe}", "output_dir=/r", "data.store=/s"]
    stages = load_config("train", Run, settings).stages
    assert list(stages) == ["condition", "cooldown"]
    assert tuple(stage.fraction for stage in stages.values()) == fractions
    assert tuple(stage.metadata.dropout for stage in stages.values()) == dropouts
    assert {stage.metadata.text.label("body") for stage in stages.values()} == {labels}
    assert stages["condition"].metadata.fields == FULL
    assert stages["cooldown"].metadata.fields == (FULL if recipe == "half_told" else ())
