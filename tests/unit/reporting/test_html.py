"""Pages out of templates: nothing is run, nothing is forgotten, nothing is loaded."""

import re

import jinja2
import pytest

from geo_nemo.reporting.html import page
from geo_nemo.reporting.tables import Cell, Table, markdown

TEMPLATE = """{% extends "base.html.j2" %}
{% from "parts.html.j2" import grid, table %}
{% block body %}{{ grid(("a", "b"), rows) }}{{ table(found) }}{% endblock %}"""


@pytest.fixture
def made(tmp_path):
    (tmp_path / "t.html.j2").write_text(TEMPLATE)

    def make(**values):
        return page(tmp_path, "t.html.j2", **values)

    return make


def test_cells_are_escaped_and_the_first_of_a_row_is_its_head(made):
    table = Table(("x", "y"), [[Cell("one"), Cell("2", small="of 3", tone="good")]])
    found = made(title="T & U", rows=[["<b>", 1]], found=table)
    assert "<title>T &amp; U</title>" in found
    body = re.sub(r"\s*\n\s*", "", found[found.index("<body>") :])
    assert '<tr><th scope="row" class="text">&lt;b&gt;</th><td>1</td></tr>' in body
    cell = '<td><span class="good">2</span><small>of 3</small></td>'
    assert f'<tr><th scope="row" class="text">one</th>{cell}</tr>' in body


def test_a_page_loads_nothing_and_has_the_look_of_all(made):
    found = made(title="", rows=[], found=Table(("x",), []))
    assert "prefers-color-scheme: dark" in found
    assert not re.search(r"(src|href)=|url\(|@import", found)


def test_a_value_that_is_not_given_is_an_error(made):
    with pytest.raises(jinja2.UndefinedError):
        made(title="", rows=[])


def test_a_bar_in_a_cell_ends_no_cell_of_markdown():
    assert markdown(("a", "b"), [("x|y", "z")]) == "| a | b |\n| --- | --- |\n| x/y | z |"
    assert markdown(("a",), [("x\ny",)]) == "| a |\n| --- |\n| x y |"  # nor a line end a row
