"""Every rule at its threshold: what is on it is kept, what is beyond it is dropped."""

import pytest

from data_prep.clean.c4 import Refused, clean_lines, count_sentences
from data_prep.clean.fineweb import FINEWEB
from data_prep.clean.gopher import QUALITY, REPETITION
from data_prep.clean.rules import chosen_filters, meaning, rules_of
from data_prep.clean.statistics import TextStatistics
from data_prep.config import Clean
from data_prep.config.kinds import FILTERS
from geo_nemo.config import UserError

DOCUMENT_SETS = {"gopher_quality": QUALITY, "gopher_repetition": REPETITION, "fineweb": FINEWEB}


def breaks(name: str, text: str) -> str | None:
    group, _, rule = name.partition(".")
    return DOCUMENT_SETS[group][rule](TextStatistics(text))


def words(count: int, length: int = 4, start: int = 0) -> list[str]:
    """`count` different words of `length` letters."""
    letters = "abcdefghijklmnopqrst"
    return ["".join(letters[(start + i) // 20**k % 20] for k in range(length))
            for i in range(count)]  # fmt: skip


def text_of(*pieces: list[str]) -> str:
    return " ".join(word for piece in pieces for word in piece)


# Of each rule: a text on the threshold, one beyond it, and what is told of that.
TEN = text_of(words(10))
CASES = {
    "gopher_quality.word_count": (
        text_of(words(50)), text_of(words(49), ["-", "!"]), "49 words"),
    "gopher_quality.word_length": (
        text_of(words(50, 3)), text_of(words(49, 3), ["ab"]), "2.98 characters a word"),
    "gopher_quality.hashes": (
        text_of(words(9), ["#"]), text_of(words(8), ["##"]), "0.222 # a word"),
    "gopher_quality.ellipses": (
        text_of(words(9), ["..."]), text_of(words(8), ["...…"]), "0.222 ellipses a word"),
    "gopher_quality.bullet_lines": (
        "- a\n" * 9 + "b", "• a\n" * 19 + "b", "0.950 of lines start with a bullet"),
    "gopher_quality.ellipsis_lines": (
        "a...\n" * 3 + "b\n" * 7, "a…\n" * 4 + "b\n" * 6, "0.400 of lines end with an ellipsis"),
    "gopher_quality.alphabetic_words": (
        "a1 b c d 5", "a1 b c 4 5", "0.600 of words have a letter"),
    "gopher_quality.stop_words": (
        "The man and a dog", "the the the", "1 of the eight stop words"),
    "gopher_repetition.duplicate_lines": (
        "a\n" * 4 + "\n".join("bcdefg"), "a\n" * 5 + "\n".join("bcdef"),
        "0.400 of lines are duplicates"),
    "gopher_repetition.duplicate_line_characters": (
        "aa\naa\nbcdef", "aaa\naaa\nb", "0.333 of characters are in duplicate lines"),
    "gopher_repetition.duplicate_paragraphs": (
        "a\n\n" * 4 + "\n\n".join("bcdefg"), "a\n\n" * 5 + "\n\n".join("bcdef"),
        "0.400 of paragraphs are duplicates"),
    "gopher_repetition.duplicate_paragraph_characters": (
        "aa\n\naa\n\nbcdefg", "aaa\n\naaa\n\nb", "0.273 of characters are in duplicate paragraphs"),
    "gopher_repetition.top_2_gram": (
        # `a b` is three characters, twice, of 30 and of 29.
        "a b cccccccc a b dddddddddd ee", "a b cccccccc a b dddddddddd e",
        "0.207 of characters are in one 2-gram"),
    "fineweb.punctuated_lines": (
        "a.\n" * 13 + "b\n" * 87, "a.\n" * 12 + "b\n" * 88,
        "0.120 of lines end with punctuation"),
    "fineweb.duplicate_line_characters": (
        "aa\naa\n" + "b" * 17, "aa\naa\n" + "b" * 16, "0.100 of characters are in duplicate lines"),
    "fineweb.short_lines": (
        "\n".join(["a" * 30] * 66 + ["b" * 31] * 34), "\n".join(["a" * 30] * 67 + ["b" * 31] * 33),
        "0.670 of lines are short"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_on_the_threshold_and_beyond_it(name):
    kept, dropped, told = CASES[name]
    assert breaks(name, kept.strip()) is None
    assert breaks(name, dropped.strip()) == told


@pytest.mark.parametrize(("n", "limit"), [(2, 0.20), (3, 0.18), (4, 0.16)])
def test_top_ngrams_are_counted_with_their_spaces(n, limit):
    gram = words(n, 9)
    characters = 2 * (9 * n + n - 1)
    for length, kept in ((int(characters / limit) + 1, True), (int(characters / limit) - 1, False)):
        text = text_of(gram, ["z" * 20], gram)
        text += " " + "y" * (length - len(text) - 1)
        assert len(text) == length
        assert (breaks(f"gopher_repetition.top_{n}_gram", text) is None) is kept


@pytest.mark.parametrize(
    ("n", "limit"), [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)]
)
def test_duplicate_ngrams_are_counted_without_spaces_and_once(n, limit):
    gram = words(n, 9)
    # The gram twice: the second one's characters are those that count.
    characters = 9 * n
    name = f"gopher_repetition.duplicate_{n}_grams"
    for length, kept in ((int(characters / limit) + 1, True), (int(characters / limit) - 1, False)):
        text = text_of(gram, ["z" * 20], gram)
        text += " " + "y" * (length - len(text) - 1)
        assert len(text) == length
        assert (breaks(name, text) is None) is kept


def test_overlapping_duplicates_are_counted_once():
    text = TextStatistics(" ".join(["ab"] * 20))
    # 16 5-grams, all alike: the first is new, then three whole ones fit into what follows.
    assert text.repeated_ngrams(5) == 3 * 10 / 59
    assert TextStatistics(TEN).repeated_ngrams(5) == 0.0


def test_an_ngram_that_occurs_once_is_no_repetition():
    assert TextStatistics("only three words").top_ngram(2) == 0.0
    assert TextStatistics("one").top_ngram(4) == 0.0
    assert TextStatistics("a b a b").top_ngram(2) == 2 * 3 / 7


def test_an_ngram_is_the_same_in_whatever_order_it_is_asked_for():
    text = " ".join(words(30) + words(12))
    rising, falling = TextStatistics(text), TextStatistics(text)
    first = [rising.repeated_ngrams(n) for n in range(5, 11)]
    assert first == [falling.repeated_ngrams(n) for n in range(10, 4, -1)][::-1]
    assert first[0] > 0


ALL_C4 = tuple(rules_of("c4"))
FINE = "A sentence of five words. Another one is here! Is this the third?"


@pytest.mark.parametrize(
    "line",
    [
        "A line without an end",
        "A line that trails off...",
        "Only four words here.",
        "Please enable JavaScript to read this.",
        "This site uses cookies to be good.",
        "You accept our Terms of Use here.",
        "x" * 1001 + " is a word of the line.",
    ],
)
def test_c4_takes_a_line(line):
    assert clean_lines(f"{FINE}\n{line}\n\n{FINE}", ALL_C4) == f"{FINE}\n{FINE}"


def test_c4_keeps_lines_that_end_as_they_must():
    for end in ('."', ".", "!", "?", ".”"):
        line = f"Here are five words or so{end}"
        assert clean_lines(f"{FINE}\n{line}", ALL_C4) == f"{FINE}\n{line}"


def test_c4_takes_citations_out_of_a_line():
    text = "It was built in 1900.[12][citation needed] It fell in 1950.[edit] Nobody knew of it.[3]"
    assert clean_lines(text, ALL_C4) == "It was built in 1900. It fell in 1950. Nobody knew of it."
    without = [rule for rule in ALL_C4 if rule != "citations"]
    with pytest.raises(Refused) as refused:
        clean_lines(text, without)
    assert refused.value.rule == "terminal_punctuation"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"{FINE}\nLorem Ipsum dolor sit amet again.", "lorem_ipsum"),
        (f"{FINE}\nThe set {{a, b}} is a set.", "curly_bracket"),
        ("Two sentences are in here. This is the second one.", "sentences"),
        ("no end\nno end either\nToo few.", "terminal_punctuation"),
        ("Too few.\nStill too few.\nno end", "line_words"),
        ("[1]\n[2]", "citations"),
    ],
)
def test_c4_drops_a_document(text, rule):
    with pytest.raises(Refused) as refused:
        clean_lines(text, ALL_C4)
    assert refused.value.rule == rule


@pytest.mark.parametrize("rule", ALL_C4)
def test_a_c4_rule_can_be_left_out(rule):
    breaking = {
        "long_words": "x" * 1001 + " is a word of the line.",
        "citations": "Here are five words or so.[1]",
        "terminal_punctuation": "A line without an end",
        "line_words": "Too few.",
        "javascript": "Please enable JavaScript to read this.",
        "policy": "This site uses cookies to be good.",
        "lorem_ipsum": "Lorem Ipsum dolor sit amet again.",
        "curly_bracket": "The set {a, b} is a set.",
        "sentences": None,
    }[rule]
    if rule == "sentences":
        assert clean_lines("One sentence is in here.", [r for r in ALL_C4 if r != rule])
        return
    text = f"{FINE}\n{breaking}"
    left = [r for r in ALL_C4 if r not in (rule, "terminal_punctuation")]
    assert clean_lines(text, left) == text


def test_without_rules_c4_leaves_a_text_as_it_is():
    assert clean_lines("a\n\n b", ()) == "a\n\n b"


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("One.", 1),
        ("One. Two! Three?", 3),
        ("Dr. Smith met Mr. J. Doe in St. Louis.", 1),
        ("It cost 3.50 dollars, e.g. in shops.", 1),
        ('"Is it?" he asked. "Yes." It was.', 3),
        ("So am I. You too.", 2),
        ("Wait... what? 12 more came.", 2),
        ("no end", 0),
    ],
)
def test_sentences_are_counted(line, count):
    assert count_sentences(line) == count


def test_every_rule_has_a_meaning_and_is_a_reason():
    assert {*FILTERS.known} == {*DOCUMENT_SETS, "c4"}
    for group, checks in DOCUMENT_SETS.items():
        assert list(rules_of(group)) == list(checks)
    assert meaning("c4.curly_bracket") == "a line has a curly bracket"
    assert meaning("c4.no_rule") == meaning("nothing.of_it") == meaning("too_short") == ""


def test_rules_are_chosen_in_the_config_s_order():
    chosen = chosen_filters(
        Clean(rules=("fineweb", "c4"), except_rules=("c4.javascript", "gopher_quality.hashes"))
    )
    assert list(chosen) == ["fineweb", "c4"]
    assert set(chosen["c4"]._rules) == {*rules_of("c4")} - {"javascript"}
    assert chosen["fineweb"]._checks == list(FINEWEB.items())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gopher_quality.stopwords", "did you mean gopher_quality.stop_words?"),
        ("javascript", "did you mean c4.javascript?"),
        ("xyz", "there is gopher_quality.word_count"),
    ],
)
def test_an_unknown_rule_is_a_mistake_that_names_the_nearest(name, hint):
    with pytest.raises(UserError, match=f"no rule '{name}'; {hint}".replace("?", r"\?")):
        chosen_filters(Clean(except_rules=(name,)))
