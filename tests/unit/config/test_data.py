"""What a stage may draw and how often, as it is written in recipes."""

import pytest

from geo_nemo.config import Run, UserError
from geo_nemo.config.load import load_config

BASE = "defaults: [train, _self_]\noutput_dir: out\ndata: {store: store}\n"


def loaded(folder, text, *overrides):
    path = folder / "mine.yaml"
    path.write_text(BASE + text)
    return load_config(str(path), Run, overrides)


def test_norway_is_selected_left_out_and_weighted(tmp_path):
    run = loaded(
        tmp_path,
        "stages:\n"
        "  condition: {select: {countries: [se, no]}, sampling: {weights: {se: 1, no: 2.5}}}\n"
        "  cooldown: {select: {exclude_countries: [no]}}\n",
    )
    assert run.stages["condition"].select.countries == ("se", "no")
    assert run.stages["condition"].sampling.weights == {"se": 1, "no": 2.5}
    assert run.stages["cooldown"].select.exclude_countries == ("no",)


def test_norway_on_the_command_line(tmp_path):
    run = loaded(
        tmp_path,
        "",
        "stages.condition.select.countries=[no,gb]",
        "stages.condition.sampling.weights={no: 1, gb: 2}",
    )
    assert run.stages["condition"].select.countries == ("no", "gb")
    assert run.stages["condition"].sampling.weights == {"no": 1, "gb": 2}


def test_without_settings_a_stage_draws_everything_as_it_is(tmp_path):
    stage = loaded(tmp_path, "").stages["condition"]
    assert (stage.select.canonical(), stage.sampling.canonical()) == ("{}", "{}")
    assert stage.sampling.rule == "as_they_are"


def test_the_recipes_of_the_papers_conditions():
    settings = ["output_dir=out", "data.store=s"]
    run = load_config("train", Run, (*settings, "data=concatenate_and_chunk"))
    assert (run.data.packing, run.data.prefix_fragments) == ("concat", False)
    run = load_config("train", Run, (*settings, "select@stages.condition.select=without_africa"))
    assert run.stages["condition"].select.exclude_continents == ("Africa",)
    assert run.stages["cooldown"].select.exclude_continents == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select: {countries: [gb, gb]}", "select: countries names one twice: gb, gb"),
        ("select: {countries: [gb], exclude_countries: [gb]}", "gb is in both countries and"),
        ("select: {years: [2021, 2019]}", "years [2021, 2019]: the first is after the last"),
        ("select: {years: [2021]}", "select.years"),
        ("select: {min_quality: 101}", "select.min_quality=101"),
        ("select: {quality_languages: [en]}", "quality_languages needs min_quality: give it, as"),
        ("select: {country: gb}", "unknown key stages.condition.select.country"),
        ("sampling: {weights: {gb: 0}}", "sampling.weights.gb=0"),
        ("sampling: {temperature: 0}", "sampling.temperature=0"),
        ("sampling: {temperature: 2, unimax_epochs: 4}", "temperature and unimax_epochs exclude"),
        ("sampling: {by: Ci ty, temperature: 2}", "sampling.by: 'Ci ty' is no name of a field"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, f"stages: {{condition: {{{text}}}}}\n")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
