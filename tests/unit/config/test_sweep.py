"""Sweeps: which runs a line of settings stands for, and what is no sweep."""

import pytest

from geo_nemo.config import Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.sweep import check_apart, expand


def test_every_combination_has_a_folder_named_by_what_differs():
    assert expand(["experiment=demo,paper/1b_global_with", "output_dir=/r/", "data.x=[1,2]"]) == [
        ("experiment=demo", "output_dir='/r/experiment=demo'", "data.x=[1,2]"),
        (
            "experiment=paper/1b_global_with",
            "output_dir='/r/experiment=paper-1b_global_with'",
            "data.x=[1,2]",
        ),
    ]
    runs = expand(["output_dir=/r", "a=choice(1,2)", "b=x,y"])
    assert [run[1:] for run in runs] == [
        ("a=1", "b=x"), ("a=1", "b=y"), ("a=2", "b=x"), ("a=2", "b=y")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["output_dir=/r", "a=1"], "no setting has several values"),
        (["output_dir=/r", "a=[1,2]"], "no setting has several values"),
        (["a=1,2"], "needs one output_dir"),
        (["output_dir=/r,/s"], "needs one output_dir"),
        (["output_dir=/r", "a=1,2", "b=(x"], r"cannot read b=\(x: quote the value"),
        (["output_dir=/r", f"a={'x' * 200},y"], "has too long a name"),
        (["output_dir=/r", "a=glob(*)"], r"a=glob\(\*\) names no values one by one: write a=A,B"),
        (["output_dir=/r", "a=interval(0,1)"], "names no values one by one: write a=A,B"),
        (["output_dir=", "a=1,2"], "needs output_dir=FOLDER"),
        (["output_dir=null", "a=1,2"], "needs output_dir=FOLDER"),
    ],
)
def test_what_is_no_sweep_is_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        expand(settings)


@pytest.mark.parametrize(
    ("value", "name"),
    [("'/a b'", "-a b"), ('"/a b"', "-a b"), (r"'it\'s'", "it's"), ("'x,y'", "x,y")],
)
def test_a_value_in_quotation_marks_names_a_folder_without_them(value, name):
    run, _ = expand(["output_dir='/a run'", "data.store=/s", f"data.cache_dir={value},/c"])
    loaded = load_config("train", Run, ["experiment=demo", *run])
    assert loaded.output_dir == f"/a run/data.cache_dir={name}"
    assert loaded.data.cache_dir == name.replace("-", "/")


def test_runs_have_folders_of_their_own():
    check_apart("runs.txt", ["/r/a", "/r/b"])
    with pytest.raises(UserError, match=r"^runs\.txt: runs 0 and 2 both have output_dir=/r/a$"):
        check_apart("runs.txt", ["/r/a", "/r/b", "/r/a"])
