"""Each line of the table of what loads what names its test, or says that it has none."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def rows() -> dict[str, str]:
    """What is said of its test, by the first cell of each line."""
    text = (ROOT / "docs/use.md").read_text(encoding="utf-8")
    section = text.partition("## What loads what")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    return {cell[0]: cell[-1] for cell in cells[1:]}


def test_each_line_names_a_test_that_is_there_or_none():
    found = rows()
    assert len(found) >= 12
    for what, said in found.items():
        named = re.findall(r"`(tests/[^`]+)`", said)
        assert named or "not tested" in said, what
        for path in named:
            assert (ROOT / path).exists(), (what, path)
        targets = re.findall(r"`make ([\w-]+)`", said)
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in targets:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (what, target)


def test_each_test_that_the_makefile_runs_is_there():
    recipes = re.findall(r"^\t.*(?:\n\t.*)*", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = {
        path for recipe in recipes for path in re.findall(r"tests/[\w/]+(?:\.py|\.sh)?", recipe)
    }
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
