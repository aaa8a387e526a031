"""Recipes of one's own: found beside the built-in ones, never in their place; whole configs."""

import json

import pytest

from eval.config import EvalConfig
from geo_nemo.config import Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.recipe_files import group_names
from tests.support.command import call

OPEN = ("data.store=/s", "output_dir=/r")


@pytest.fixture
def own(tmp_path):
    """A folder, with a space in its name, of an experiment and of a model of its own."""
    folder = tmp_path / "our recipes"
    (folder / "experiment").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "experiment/small.yaml").write_text(
        "# @package _global_\n# A run of ours.\ndefaults:\n  - demo\n  - override /model: tiny\n"
        "name: small\n"
    )
    (folder / "model/tiny.yaml").write_text(
        "# Ours.\nnum_layers: 3\nhidden_size: 96\nnum_attention_heads: 4\nnum_query_groups: 4\n"
        "ffn_hidden_size: 64\n"
    )
    return folder


def test_an_experiment_of_one_s_own_builds_on_built_in_recipes(own, monkeypatch):
    with pytest.raises(UserError, match="experiment=small is not a recipe"):
        load_config("train", Run, ("experiment=small", *OPEN))
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(own))
    run = load_config("train", Run, ("experiment=small", *OPEN))
    demo = load_config("train", Run, ("experiment=demo", *OPEN))
    assert (run.name, run.model.num_layers, run.model.hidden_size) == ("small", 3, 96)
    assert run.train == demo.train
    assert load_config("train", Run, ("model=tiny", *OPEN)).model == run.model
    assert {"small", "demo"} <= set(group_names("experiment"))


def test_a_mistake_names_recipes_of_both_folders(own, monkeypatch):
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(own))
    with pytest.raises(UserError, match="did you mean small"):
        load_config("train", Run, ("experiment=smal", *OPEN))
    with pytest.raises(UserError, match=r"small is not key=value; write experiment=small"):
        load_config("train", Run, ("small", *OPEN))


def test_a_name_stands_for_one_file(own, monkeypatch):
    (own / "experiment/demo.yaml").write_text("name: mine\n")
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(own))
    with pytest.raises(UserError, match=r"the recipe experiment/demo stands in .* another name"):
        load_config("train", Run, ("experiment=demo", *OPEN))


def test_groups_of_one_s_own_make_named_experiments(own, monkeypatch):
    (own / "select").mkdir()
    (own / "select/nordics.yaml").write_text("countries: [fi, se]\n")
    built_on = "# @package _global_\ndefaults: [localization/tiny_nordics_url]\nname: north\n"
    (own / "experiment/north.yaml").write_text(built_on)
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(own))
    run = load_config("train", Run, ("experiment=north", *OPEN))
    assert (run.name, run.model.num_layers) == ("north", 3)
    assert {stage.select.countries for stage in run.stages.values()} == {("fi", "se")}
    assert [stage.metadata.fields for stage in run.stages.values()] == [("url",), ()]
    with pytest.raises(UserError, match=r"tiny_nordic_url is not a recipe"):
        load_config("train", Run, ("experiment=localization/tiny_nordic_url", *OPEN))
    (own / "experiment/paper").mkdir()
    (own / "experiment/paper/1b_asia_with.yaml").write_text("name: mine\n")
    with pytest.raises(UserError, match=r"paper/1b_asia_with is an experiment of geo-nemo's alr"):
        load_config("train", Run, ("experiment=north", *OPEN))


# Of a cooldown alone the other stage is another run's.
@pytest.mark.parametrize("stages", sorted({*group_names("stages")} - {"cooldown"}))
def test_metadata_of_one_s_own_keep_their_template_in_every_stage(own, monkeypatch, stages):
    template = {"line": "<{label}={value}>", "title": "# {title}\n\n", "body": "{body}"}
    (own / "metadata").mkdir()
    (own / "metadata/ours.yaml").write_text(
        f"# Ours.\nfields: [country]\ntemplate: {json.dumps(template)}\n"
    )
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(own))
    settings = (f"stages={stages}", "data.seq_length=8192", *OPEN)
    usual = load_config("train", Run, settings).stages
    ours = (f"metadata@stages.{stage}.metadata=ours" for stage in usual)
    told = load_config("train", Run, (*ours, *settings)).stages
    # An evaluation of such a run is given the same recipe, by the same name.
    asked = ("metadata=ours", "output=/e", "store=/s", "runs.a=/r")
    policy = load_config("eval", EvalConfig, asked).metadata
    assert list(told) == list(usual) == ["condition", "cooldown"][: len(usual)]
    for name, stage in told.items():
        assert stage.metadata.template == policy.template, name
        assert stage.metadata.fields == ("country",) and stage.fraction == usual[name].fraction


def test_every_command_with_settings_takes_the_folder(own, monkeypatch, capsys):
    monkeypatch.delenv("GEO_NEMO_RECIPES", raising=False)
    for words in (("recipes", "list", "model"), ("train", "model=tiny", "--cfg", "job", *OPEN)):
        monkeypatch.setenv("GEO_NEMO_RECIPES", "")
        code, out, err = call(monkeypatch, capsys, *words, "--recipes", str(own))
        assert code == 0, err
        assert "model=tiny" in out or "num_layers: 3" in out
    code, _, err = call(monkeypatch, capsys, "plan", "small", "--recipes", f"{own}/none")
    assert code == 2 and err.count("\n") == 1
    assert f"no folder of recipes {own}/none" in err


def test_a_whole_config_is_read_as_it_stands(monkeypatch, capsys, tmp_path):
    # What a YAML reader, or Hydra, would take for something else.
    strange = "/runs/${a} ???, 1e5"
    code, out, err = call(
        monkeypatch, capsys, "train", "experiment=demo", "data.store=/s", f"output_dir='{strange}'"
        .replace("$", "\\$"), "name='1e5'", "--cfg", "json",
    )  # fmt: skip
    assert code == 0, err
    file = tmp_path / "run.json"
    file.write_text(out)
    run = load_config(str(file), Run)
    assert (run.name, run.output_dir) == ("1e5", strange)
    assert json.loads(out) == run.model_dump(mode="json")
    with pytest.raises(UserError, match=r"is a whole config: it takes no train.lr=1"):
        load_config(str(file), Run, ("train.lr=1",))
    file.write_text(out.replace('"steps"', '"stpes"'))
    with pytest.raises(UserError, match="unknown key"):
        load_config(str(file), Run)
    for content, said in (("{", "is not JSON"), ("[]", "is not a JSON object")):
        file.write_text(content)
        with pytest.raises(UserError, match=said):
            load_config(str(file), Run)
    with pytest.raises(UserError, match="cannot read"):
        load_config(str(tmp_path / "none.json"), Run)


def test_the_record_of_a_run_is_its_config_where_it_lies_now(tmp_path):
    began = load_config("train", Run, ("experiment=demo", "seed=7", *OPEN))
    file = tmp_path / "run.json"
    file.write_text(
        json.dumps({"command": [], "sessions": [], "config": began.model_dump(mode="json")})
    )
    assert load_config(str(file), Run) == began.model_copy(update={"output_dir": str(tmp_path)})


@pytest.mark.very_slow
def test_every_recipe_is_the_same_run_from_its_whole_config():
    for name in group_names("experiment"):
        if not name.endswith("base"):
            extra = ("init.checkpoint=/w",) * (name == "cooldown_from")
            run = load_config("train", Run, (f"experiment={name}", *OPEN, *extra))
            assert Run.model_validate(json.loads(run.model_dump_json())) == run
