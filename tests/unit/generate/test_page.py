"""What the page of `geo-nemo try` shows and refuses, without gradio; with it: tests/try_page."""

import importlib.util

import pytest

from geo_nemo.config import UserError
from geo_nemo.export.loaded import load_model, load_tokenizer, open_folder
from geo_nemo.generate.page import Comparison, as_table
from geo_nemo.generate.prompts import Tells
from geo_nemo.generate.writer import Options, Writer
from tests.support.command import call
from tests.support.exports import write_export


def test_a_table_has_a_row_a_model_and_holds_text_alone():
    found = {"a<b": {"ng": "<script>x</script>"}, "c": {"ng": "y & z", "none": "n"}}
    assert as_table(found, ["ng", "none"]) == (
        "<table><tr><th></th><th>ng</th><th>none</th></tr>"
        "<tr><th>a&lt;b</th><td>&lt;script&gt;x&lt;/script&gt;</td>"
        '<td class="waits">...</td></tr>'
        "<tr><th>c</th><td>y &amp; z</td><td>n</td></tr></table>"
    )


def test_nothing_to_ask_and_nobody_to_be_told_are_errors():
    page = Comparison({}, ["ng"])
    for text, countries, message in ((" ", ["ng"], "is empty"), ("Who?", [], "choose a country")):
        with pytest.raises(UserError, match=message):
            next(page.write(text, countries, "", 8, 0))


def test_the_best_is_taken_again_behind_answers_that_were_drawn(tiny_store, tmp_path):
    folder = open_folder(str(write_export(tmp_path / "m", tiny_store)))
    model, tokenizer = load_model(folder, "float32", "cpu"), load_tokenizer(folder)
    writer = Writer(model, tokenizer, folder, Options({"do_sample": False}))
    page = Comparison({"m": (writer, Tells(folder.policy))}, ["ng"])

    def answer(temperature):
        *_, found = page.write("the price of", ["ng"], "", 6, temperature)
        return found["m"]["ng"]

    best, drawn = answer(0), answer(2.0)
    assert answer(0) == best != drawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["NONE"], "no folder NONE: give one that geo-nemo export or tune wrote"),
        (["MODEL", "MODEL"], "a model is named twice"),
        (["MODEL", "--countries", "zzz"], "--countries zzz: no country; give codes"),
        (["MODEL", "--port", "70000"], "--port"),
        (["SILENT"], "no model says which countries it was told: give them as --countries ng,gb"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tiny_store, tmp_path, monkeypatch, capsys):
    write_export(tmp_path / "MODEL", tiny_store)
    write_export(tmp_path / "SILENT", tiny_store, countries=())
    monkeypatch.chdir(tmp_path)
    code, _, said = call(monkeypatch, capsys, "try", *arguments)
    assert code == 2 and message in said and said.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("gradio") is not None, reason="gradio is here")
def test_without_gradio_the_extra_is_named(tiny_store, tmp_path, monkeypatch, capsys):
    write_export(tmp_path / "model", tiny_store)
    code, _, said = call(monkeypatch, capsys, "try", str(tmp_path / "model"))
    assert code == 2 and "pip install 'geo-nemo[try]'" in said and said.count("\n") == 1
