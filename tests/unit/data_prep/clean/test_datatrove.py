"""The rule sets against datatrove's filters, an implementation by others, on a thousand texts.

datatrove asks spaCy and NLTK for words and sentences, which are not needed here: both sides get the
same words (runs between white space), so that what is compared is the rules.
"""

import gzip
import json
import random
from pathlib import Path

import pytest

from data_prep.clean import c4, fineweb, gopher
from data_prep.clean.fineweb import FineWeb
from data_prep.clean.gopher import GopherQuality, GopherRepetition
from data_prep.clean.statistics import TextStatistics

pytest.importorskip("datatrove")
text_module = pytest.importorskip("datatrove.utils.text")

FACTBOOK = Path(__file__).parents[5] / "shared/data/factbook.jsonl.gz"
QUALITY_NAMES = {
    "gopher_short_doc": "word_count", "gopher_long_doc": "word_count",
    "gopher_below_avg_threshold": "word_length", "gopher_above_avg_threshold": "word_length",
    "gopher_too_many_hashes": "hashes", "gopher_too_many_ellipsis": "ellipses",
    "gopher_too_many_bullets": "bullet_lines", "gopher_too_many_end_ellipsis": "ellipsis_lines",
    "gopher_below_alpha_threshold": "alphabetic_words", "gopher_enough_stop_words": "stop_words",
}  # fmt: skip
REPETITION_NAMES = {
    "dup_line_frac": "duplicate_lines", "dup_line_char_frac": "duplicate_line_characters",
    "dup_para_frac": "duplicate_paragraphs",
    "dup_para_char_frac": "duplicate_paragraph_characters",
    **{f"top_{n}_gram": f"top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}_grams" for n in range(5, 11)},
}  # fmt: skip
FINEWEB_NAMES = {
    "line_punct_ratio": "punctuated_lines", "short_line_ratio": "short_lines",
    "char_dup_ratio": "duplicate_line_characters",
}  # fmt: skip
WORDS = ["the", "of", "and", "to", "storm", "river", "bank", "minister", "said", "reports", "2024",
         "growth", "#", "...", "-", "•", "town's", "a"]  # fmt: skip


def generated(seed: int) -> str:
    """A text with repetition, bullets and short lines, now more and now less of each."""
    rng = random.Random(seed)
    vocabulary = rng.sample(WORDS, rng.randint(3, len(WORDS)))
    vocabulary += [f"word{rng.randint(0, 10 ** rng.randint(1, 4))}" for _ in range(40)]
    lines = []
    for _ in range(rng.randint(2, 25)):
        if lines and rng.random() < 0.15 * (seed % 4):
            lines.append(rng.choice(lines))
            continue
        line = " ".join(rng.choices(vocabulary, k=rng.randint(1, 25)))
        start = rng.choice(["", "", "- ", "• "]) if seed % 3 == 0 else ""
        lines.append(start + line + rng.choice([".", ".", "", "...", "!"]))
    return rng.choice(["\n", "\n\n"]).join(lines)


def texts() -> list[str]:
    found = [generated(seed) for seed in range(800)]
    if FACTBOOK.is_file():
        with gzip.open(FACTBOOK, "rt", encoding="utf-8") as file:
            found += [json.loads(next(file))["text"].strip() for _ in range(200)]
    return found


TEXTS = texts()


@pytest.fixture(autouse=True)
def words_between_spaces(monkeypatch):
    """datatrove's filters see the words that the rules here see."""
    for name in ("gopher_quality_filter", "gopher_repetition_filter", "fineweb_quality_filter"):
        module = pytest.importorskip(f"datatrove.pipeline.filters.{name}")
        lower = name == "gopher_quality_filter"  # stop words count in any case
        monkeypatch.setattr(
            module,
            "split_into_words",
            lambda text, _language, lower=lower: (text.lower() if lower else text).split(),
        )


def theirs(filter_, text: str, names: dict[str, str]) -> str | None:
    from datatrove.data import Document

    verdict = filter_.filter(Document(text=text, id="0"))
    return None if verdict is True else names[verdict[1]]


SETS = {"gopher_quality": GopherQuality, "gopher_repetition": GopherRepetition, "fineweb": FineWeb}


def broken(group: str, text: str) -> set[str]:
    statistics = TextStatistics(text)
    return {rule for rule, check in SETS[group].checks.items() if check(statistics) is not None}


def compare(group: str, filter_, names: dict[str, str], compared: list[str] = TEXTS) -> None:
    """They stop at the first rule that is broken: it must be broken here, and none if none is."""
    seen = set()
    for text in compared:
        verdict, ours = theirs(filter_, text, names), broken(group, text)
        assert (verdict in ours) if verdict else not ours, (verdict, ours, text)
        seen.add(verdict)
    assert None in seen
    assert len(seen) > 3  # the texts try more than one rule


def test_gopher_quality(monkeypatch):
    from datatrove.pipeline.filters import gopher_quality_filter

    monkeypatch.setattr(gopher, "BULLETS", ("•", "-"))
    # Blank lines are no lines here.
    filter_ = gopher_quality_filter.GopherQualityFilter()
    compare("gopher_quality", filter_, QUALITY_NAMES, [t.replace("\n\n", "\n") for t in TEXTS])


def test_gopher_repetition():
    from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter

    # In a short text theirs takes an n-gram that occurs once for the one that repeats most.
    longer = [text for text in TEXTS if len(text.split()) >= 60]
    assert len(longer) > 500
    compare("gopher_repetition", GopherRepetitionFilter(), REPETITION_NAMES, longer)


def test_fineweb():
    from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter

    nudge = 1e-9  # the paper drops what is on the threshold, the code what is beyond it
    filter_ = FineWebQualityFilter(
        line_punct_thr=fineweb.MIN_PUNCTUATED_LINES + nudge,
        stop_chars=fineweb.TERMINAL,
        short_line_thr=fineweb.MAX_SHORT_LINES - nudge,
        char_duplicates_ratio=fineweb.MAX_DUPLICATE_LINE_CHARACTERS - nudge,
        new_line_ratio=1e9,
    )
    compare("fineweb", filter_, FINEWEB_NAMES)


def test_c4(monkeypatch):
    from datatrove.data import Document
    from datatrove.pipeline.filters import c4_filters

    module = c4_filters
    monkeypatch.setattr(module, "END_PUNCTUATION", c4.END_MARKS)
    monkeypatch.setattr(
        module, "split_into_sentences", lambda line, _language: [""] * c4.count_sentences(line)
    )
    filter_ = module.C4QualityFilter(
        min_num_sentences=c4.MIN_SENTENCES, min_words_per_line=c4.MIN_WORDS_OF_LINE
    )
    rules = tuple(c4.C4.reasons)
    rng = random.Random(7)
    extra = ["It was in 1900.[1] It is no more.[edit]",
             "Please enable Javascript to see this page.", "This page uses cookies for you all.",
             "Here is { some } code of ours.", "And lorem ipsum dolor sit amet."]  # fmt: skip
    kept = dropped = 0
    for text in TEXTS:
        lines = text.split("\n") + rng.sample(extra, rng.choice([0, 0, 1, 2]))
        rng.shuffle(lines)
        document = Document(text="\n".join(lines), id="0")
        verdict = filter_.filter(document)
        try:
            ours = c4.clean_lines("\n".join(lines), rules)
        except c4.Refused as refused:
            assert verdict is not True, (refused, lines)
            if refused.rule in ("lorem_ipsum", "curly_bracket"):
                assert verdict[1] == refused.rule
            else:
                assert verdict[1] == "too_few_sentences"
            dropped += 1
            continue
        assert verdict is True, (verdict, lines)
        assert ours == document.text
        kept += 1
    assert kept > 50
    assert dropped > 50
