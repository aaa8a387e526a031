"""Figures as inline SVG that takes its colours and font from the page, in light and dark.

Each figure is drawn twice, wide and narrow, and the page's style shows the one that fits: scaling
one drawing to a phone would make its text unreadable.
"""

import io
import re
import warnings
from collections.abc import Callable
from html import escape

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that stand for variables of the page's style sheet, replaced after drawing.
AXIS, MUTED, GRID = "#0a0001", "#0a0002", "#0a0003"
VARIABLES = {AXIS: "axis", MUTED: "muted", GRID: "grid"}
NUM_SERIES = 8
SERIES = tuple(f"#0b00{number:02x}" for number in range(NUM_SERIES))
VARIABLES |= {colour: f"s{number}" for number, colour in enumerate(SERIES)}
# Told apart without colour, too.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
WIDTHS = {"wide": 8.6, "narrow": 3.7}
STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.edgecolor": AXIS,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": AXIS,
    "ytick.color": AXIS,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "axes.unicode_minus": True,
    # A topic or host may have a $: it is none of a formula's.
    "text.parse_math": False,
}

Draw = Callable[[str], Figure]


def inline(name: str, label: str, draw: Draw) -> str:
    """The drawing in both widths, as HTML.

    name: distinguishes the identifiers of this figure's SVG. label: read by screen readers.
    draw: takes `wide` or `narrow`.
    """
    parts = []
    for width in WIDTHS:
        settings = {**STYLE, "svg.hashsalt": f"{name}-{width}"}
        with plt.rc_context(settings), warnings.catch_warnings():
            # Letters are drawn by the page's font; here they are only measured.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure = draw(width)
            content = io.StringIO()
            figure.savefig(
                content, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.04
            )
            plt.close(figure)
        parts.append(f'<div class="{width}">{_clean(content.getvalue(), label)}</div>')
    return "".join(parts)


def colour(number: int) -> str:
    return SERIES[number % NUM_SERIES]


def marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def bare(axes: Axes, *, grid: str) -> None:
    """Leave one direction of grid lines, and no frame on the side of the names."""
    axes.grid(False, axis="y" if grid == "x" else "x")
    if grid == "x":
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)


def _clean(svg: str, label: str) -> str:
    """Only what an SVG needs inside a page; no namespace, no metadata, no global style."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    for sentinel, variable in VARIABLES.items():
        svg = svg.replace(sentinel, f"var(--{variable})")
    size = re.search(r'<svg width="([\d.]+)pt" height="[\d.]+pt"', svg)
    svg = svg.replace(
        size.group(0),
        f'<svg role="img" aria-label="{escape(label)}" style="width:100%;max-width:'
        f'{float(size.group(1)) * 4 / 3:.0f}px"',
        1,
    )
    return re.sub(r"> <", "><", svg)
