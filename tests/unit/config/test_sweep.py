"""Sweeps: which runs a line of settings stands for, and what is no sweep."""

import pytest

from geo_nemo.config import UserError
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
        (["output_dir=/r", "a=1,2", "b=(x"], r"cannot read b=\(x: quote its value"),
        (["output_dir=/r", f"a={'x' * 200},y"], "has too long a name"),
    ],
)
def test_what_is_no_sweep_is_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        expand(settings)


def test_runs_have_folders_of_their_own():
    check_apart("runs.txt", ["/r/a", "/r/b"])
    with pytest.raises(UserError, match=r"^runs\.txt: runs 0 and 2 both have output_dir=/r/a$"):
        check_apart("runs.txt", ["/r/a", "/r/b", "/r/a"])
