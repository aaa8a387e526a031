"""The page in a real browser: Chromium, headless, at the widths of a phone and of a desk."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest

from eval.config import ReportConfig
from eval.report.page import write_report
from eval.runner import evaluate
from tests.unit.eval.test_questions import question, write

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
# Before the page's own content, so that its errors are seen; what it finds stands in the DOM.
WATCH = "<script>window.faults = []; onerror = (text) => faults.push(text);</script>"
MEASURE = """<script>
const luminance = (colour) => {
  const whole = colour.startsWith("color(") ? 1 : 255;  // a mix of colours is told from 0 to 1
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / whole)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)|transparent/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
const pale = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || element.closest("script, style, svg")) continue;
  const style = getComputedStyle(element);
  const pair = [luminance(style.color), luminance(behind(element))].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (element.checkVisibility() && ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5))
    pale.push(element.className + ": " + texts.currentNode.data.slice(0, 40) + " " + ratio);
}
const shown = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility());
const named = (e) =>
  e.getAttribute("aria-label") || e.querySelector("title") || e.textContent.trim();
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
parent.postMessage(JSON.stringify({
  faults, pale: pale.slice(0, 5), width: document.documentElement.scrollWidth, room: innerWidth,
  unnamed: shown.filter((e) => e.matches("a, nav, summary, svg[role]") && !named(e)).length,
  heads: shown.filter((e) => e.matches("table") && !e.querySelector("th[scope]")).length,
  twice: ids.length - new Set(ids).size,
  outside: performance.getEntriesByType("resource").length,
  sideways: shown.filter((e) => e.matches(".scroll") && e.scrollWidth > e.clientWidth).length,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
}), "*");
</script>"""
# A window of Chromium is no narrower than some 500 pixels; a frame is as narrow as it is told.
FRAME = """<!doctype html><body><script>
onmessage = (event) => { document.body.dataset.found = event.data; };
</script><iframe src="watched.html" style="width: %dpx; height: 2000px; border: 0"></iframe>"""


@pytest.fixture(scope="module")
def page(world, tmp_path_factory):
    from eval.config import EvalConfig
    from tests.unit.eval.conftest import load

    folder = tmp_path_factory.mktemp("page")
    items = write(folder / "q.jsonl", [question(n, prompt=f"the {n}th of") for n in range(40)])
    config = EvalConfig(
        runs={name: str(run) for name, run in world.runs.items()}, store=str(world.store.root),
        output=str(folder / "eval"), bootstrap_samples=100, questions=str(items),
        conditions=("with", "without", "plain", "shuffled", "wrong_country", "only_country",
                    "guidance_1.5", "as_gb", "as_ke", "as_ng"),
    )  # fmt: skip
    evaluate(config, load)
    path = folder / "report.html"
    write_report(ReportConfig(eval=str(folder / "eval"), output=str(path)))
    return watched(path)


@pytest.fixture(scope="module")
def analyses(tmp_path_factory):
    """Three seeds of three sizes, whose names are as long as those of the paper's models."""
    from eval.analyses.study import Study
    from eval.analyses.write import answers, write
    from tests.unit.eval.analyses.test_analyses import evaluation, flat, run

    folder = tmp_path_factory.mktemp("analyses")
    made = []
    for seed in (1, 2, 3):
        runs = {}
        for number in (403_000_000, 1_347_487_744):
            alike = {"seed": seed, "parameters": number, "tokens": 41_943_040_000,
                     "final_tokens": 41_943_040_000}  # fmt: skip
            told, plain = 1.5 + seed / 100, 1.6
            runs |= {
                f"told{number}": (run(**alike), {"with": flat(told), "without": flat(1.7)}),
                f"plain{number}": (run((), **alike), {"without": flat(plain)}),
                f"url{number}": (run(("url",), **alike), {"with": flat(told + 0.1)}),
                f"no{number}": (run(left_out=("Africa",), **alike), {"with": flat(told + 0.2)}),
            }
        made.append(evaluation(folder / f"seed{seed}", runs))
    study = Study(made)
    return watched(write(study, answers(study), folder / "out")[0])


def watched(path):
    text = (
        path.read_text().replace("<head>", f"<head>{WATCH}").replace("</body>", f"{MEASURE}</body>")
    )
    path.with_name("watched.html").write_text(text)
    return path.with_name("watched.html")


def browse(page, width: int, dark: bool) -> dict:
    frame = page.with_name(f"frame_{width}.html")
    frame.write_text(FRAME % width)
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--disable-background-networking", "--window-size=1400,2100",
         f"--blink-settings=preferredColorScheme={0 if dark else 1}",
         "--virtual-time-budget=2000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr[-500:]
    return json.loads(unescape(found[1]))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_overflow_no_error_and_all_of_it_can_be_read(page, width, dark):
    found = browse(page, width, dark)
    assert found["room"] == width and found["width"] <= width
    assert found["faults"] == [] and found["outside"] == 0
    assert found["pale"] == [] and found["unnamed"] == 0 and found["heads"] == 0
    assert found["twice"] == 0 and found["dark"] == dark


@pytest.mark.parametrize("width", [360, 1280])
def test_analyses_of_long_names_need_no_sideways_scrolling(analyses, width):
    found = browse(analyses, width, dark=False)
    assert found["room"] == width and found["width"] <= width and found["sideways"] == 0
    assert found["faults"] == [] and found["pale"] == [] and found["unnamed"] == 0
