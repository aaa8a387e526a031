"""Configs from YAML files of the user's own."""

import pytest

from data_prep.config import Prep
from geo_nemo.cli.notify import read_settings
from geo_nemo.config import Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.sweep import expand


def written(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_file_of_the_user_s_builds_on_the_recipes(tmp_path):
    path = written(
        tmp_path,
        "defaults: [train, _self_]\noutput_dir: out\ndata: {store: store}\ntrain: {lr: 0.01}\n",
    )
    run = load_config(path, Run, ("train.warmup_steps=7", "model=0.5b"))
    assert (run.train.lr, run.train.warmup_steps, run.model.num_layers) == (0.01, 7, 24)


def test_a_file_may_stand_alone_and_hold_lists_of_sections(tmp_path):
    path = written(
        tmp_path, "output: o\ninput:\n- {path: a, name: now, fields: {url: meta.link}}\n- b\n"
    )
    prep = load_config(path, Prep)
    assert [(s.path, s.name, s.fields.url) for s in prep.input] == [
        ("a", "now", "meta.link"),
        ("b", "default", "url"),
    ]


def test_norway_is_a_country_in_yaml_too(tmp_path):
    path = written(
        tmp_path,
        "output: o\ninput: a\nannotate: {countries: [se, no]}\nbalance: {cap: {no: 5}}\n",
    )
    prep = load_config(path, Prep)
    assert prep.annotate.countries == ("se", "no")
    assert prep.balance.cap == {"no": 5}


def test_a_file_that_is_called_as_the_recipe_it_builds_on_is_told_so(tmp_path):
    path = tmp_path / "prep.yaml"
    path.write_text("defaults: [prep, _self_]\noutput: o\ninput: a\n")
    with pytest.raises(UserError, match=r"has the name of the recipe prep.*as my_prep\.yaml"):
        load_config(str(path), Prep)


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"a": "defaults: [b]", "b": "defaults: [a]"}, [], "in a circle, a > b > a: take one"),
        ({"a": "defaults: [b]", "b": "defaults: [b]"}, [], "in a circle, b > b: take one"),
        ({"a": "defaults: [{data: x}]", "data/x": "defaults: [x]"}, [], "circle, data/x > data/x:"),
        ({"a": "x: 1"}, ["+data=x"], "circle, data/x > data/x:"),
        (
            {"a": "defaults: [r0]", **{f"r{n}": f"defaults: [r{n + 1}]" for n in range(600)}},
            [], "more than 100 recipes name one another in their defaults, a > r0 > r1 > r2 > r3 ",
        ),
        ({"a": f"x: {'[' * 200}{']' * 200}"}, [], "a.yaml has values nested too deep"),
        ({"a": f"x: {'{b: ' * 150}1{'}' * 150}"}, [], "a.yaml has values nested too deep"),
        ({"a": "x: 1\ny: &y [*y]"}, [], "a.yaml has values nested too deep"),
        (
            {"a": "defaults: [b]", "b": f"x: {'[' * 400}{']' * 400}"},
            [], "a.yaml: the recipe b has values nested too deep",
        ),
        ({"a": "x: 1"}, ["y=1", f"x={'[' * 200}{']' * 200}"], "cannot read x: its value is nested"),
    ],
)  # fmt: skip
def test_what_stands_too_deep_in_itself_is_told_as_what_it_is(tmp_path, files, settings, message):
    for name, text in ({"data/x": "defaults: [x]"} | files).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(f"{text}\n")
    with pytest.raises(UserError) as caught:
        load_config(str(tmp_path / "a.yaml"), Prep, settings)
    assert message in str(caught.value) and "has the name" not in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_setting_that_is_nested_too_deep_is_named_by_every_reader_of_settings(tmp_path):
    deep = f"notify.webhook={'[' * 900}{']' * 900}"
    for read in (lambda: expand(["a=1,2", deep]), lambda: read_settings(tmp_path, (deep,))):
        with pytest.raises(
            UserError, match=r"cannot read notify\.webhook: its value is nested too"
        ):
            read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: {", "is not YAML: "),
        ("- 1\n", "got ListConfig"),
        ("output: o\ninput: a\nclean: {rules: [gopher]}\n", "clean.rules.0: gopher is not"),
        ("output: o\ninput: a\ntokeniser: {}\n", "unknown key tokeniser; did you mean tokenizer?"),
        ("output: o\ninput: []\n", "no input file is named"),
        ("output: o\ninput: a\nannotate: {countries: [Narnia]}\n", "'Narnia' is neither"),
    ],
)
def test_mistakes_in_it_are_one_line(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        load_config(written(tmp_path, text), Prep)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no config .*none\.yaml: give a YAML file"):
        load_config(str(tmp_path / "none.yaml"), Prep)
