"""A page's markup without what is no markup, beside one pattern that says so."""

import random
import re

from data_prep.read.blocks import _without_gone, blocks_of

# Slower, and without end where much is not closed.
GONE = re.compile(r"<!--.*?-->|<(script|style|iframe|textarea)\b.*?</\1>", re.DOTALL)
BITS = (
    "<!--", "-->", "<!-->", "<script", "</script>", "</script >", "<scripty>", "<style>",
    "</style>", "<iframe src=a>", "</iframe>", "<textarea>", "</textarea>", "<p>", ">", "-", " ",
    "x", "\n",
)  # fmt: skip


def test_comments_and_scripts_are_cut_as_one_pattern_says():
    rng = random.Random(3)
    for _ in range(5_000):
        text = "".join(rng.choices(BITS, k=rng.randrange(1, 14)))
        assert _without_gone(text) == GONE.sub("", text), text


def test_what_is_not_closed_is_looked_for_once():
    text = "<!--" * 40_000 + "x" * 1_000_000
    assert _without_gone(text) == text
    page = blocks_of("<p>One</p><script>two</script><p>Three</p><!-- four")
    assert [block.text for block in page.blocks][:2] == ["One", "Three"]
