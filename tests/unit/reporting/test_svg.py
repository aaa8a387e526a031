"""Names in figures are those of the data, whatever letters they have."""

import warnings
from html import unescape

import pytest
from matplotlib import pyplot as plt

from geo_nemo.reporting.svg import inline


@pytest.mark.parametrize("name", ["x$y$z", "$a_{$", "50% \\frac $b$", "漢字", "<b>&", "ไทย"])
def test_a_name_stands_in_a_figure_as_it_is_and_without_a_warning(name):
    def draw(width):
        figure, axes = plt.subplots(figsize=(3, 2), layout="constrained")
        axes.plot([1, 2], [0, 1], label=name)
        axes.set_yticks([0, 1], [name, "other"])
        figure.legend(loc="outside upper left")
        return figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inline("n", "label", draw)
    # Twice wide, twice narrow: at its tick and in the legend.
    assert unescape(found).count(f">{name}</text>") == 4
