"""Figures of tables against SciPy's bootstrap and plain loops, on data that differ everywhere."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cosine

from eval import accuracy, switch
from eval.bootstrap import MIN_DOCUMENTS, clustered_wilson
from eval.documents import Documents
from eval.groups import ALL, Group
from eval.matrix import Effect, tables
from eval.perplexity import BANDS, Scores
from eval.plan import make_plan
from eval.probe.layers import of_regions
from eval.question_files import QuestionSet
from eval.question_schemas import Question
from eval.questions import Answers
from eval.summary import describe_documents
from eval.where import by_place, tokens_by_band
from geo_nemo.metadata.geography import countries

DRAWS, CONFIDENCE = 20_000, 0.9
SETTINGS = {"samples": DRAWS, "confidence": CONFIDENCE, "seed": 0}
TOLD, UNTOLD = ("m", "with"), ("m", "without")
EFFECT = Effect("told against not told", TOLD, UNTOLD)


def scipy_s(rows, statistic):
    """Percentile interval and bootstrap values of a statistic of sums over rows [n, k]."""
    found = stats.bootstrap(
        (np.arange(len(rows)),), lambda drawn, axis: statistic(rows[drawn].sum(-2)),
        n_resamples=DRAWS, method="percentile", confidence_level=CONFIDENCE, vectorized=True,
        rng=np.random.default_rng(7),
    )  # fmt: skip
    return found.confidence_interval, found.bootstrap_distribution


def near(found, expected):
    """Both ends within the noise of 20,000 draws: 4% of the interval's width."""
    assert found == pytest.approx(tuple(expected), abs=0.04 * (expected.high - expected.low))


def by_cluster(rows, clusters):
    return np.array([rows[clusters == each].sum(0) for each in np.unique(clusters)])


@pytest.fixture(scope="module")
def scored():
    """60 documents of 20 hosts, in two conditions; nats, tokens and bytes of title and body."""
    rng = np.random.default_rng(1)
    title, body = rng.integers(3, 9, 60), rng.integers(20, 90, 60)
    hosts = np.arange(60) % 20
    told = [rng.gamma(9, n / 9) for n in (title, body)]
    shift = rng.normal(0.03, 0.1, 20)[hosts] + rng.normal(0, 0.1, 60)
    untold = [nats + shift * n for nats, n in zip(told, (title, body), strict=True)]
    zero = np.zeros(60)
    documents = Documents(
        index=np.arange(60), country=zero.astype(int), title_tokens=title, body_tokens=body,
        whole=zero == 0, token_hash=zero, skipped={}, title_bytes=4 * title, body_bytes=3 * body,
    )  # fmt: skip
    scores = {TOLD: Scores(*told, zero), UNTOLD: Scores(*untold, zero)}
    found = tables({"m": documents}, scores, [Group(ALL, ALL, np.arange(60))], [EFFECT],
                   hosts=hosts, **SETTINGS)  # fmt: skip
    sums = {
        part: np.stack([told[n], untold[n], (title, body)[n], (4 * title, 3 * body)[n]], 1)
        for n, part in enumerate(("title", "body"))
    }
    return found, sums | {"text": sums["title"] + sums["body"]}, hosts


@pytest.mark.parametrize("part", ["title", "body", "text"])
def test_perplexities_bits_and_their_intervals_are_scipy_s(scored, part):
    found, sums, _ = scored
    rows = sums[part]
    for key, column in ((TOLD, 0), (UNTOLD, 1)):
        (cell,) = (c for c in found["cells"]
                   if (c["part"], c["run"], c["condition"]) == (part, *key))  # fmt: skip
        for names, of in (
            (("perplexity", "low", "high"), lambda s, k=column: np.exp(s[..., k] / s[..., 2])),
            (("bits_per_byte", "bits_low", "bits_high"),
             lambda s, k=column: s[..., k] / s[..., 3] / np.log(2)),
        ):  # fmt: skip
            value, *ends = (cell[name] for name in names)
            assert value == pytest.approx(of(rows.sum(0)))
            near(tuple(ends), scipy_s(rows, of)[0])


@pytest.mark.parametrize("part", ["title", "body", "text"])
def test_differences_over_documents_and_over_hosts_are_scipy_s(scored, part):
    found, sums, hosts = scored
    (line,) = (e for e in found["effects"] if e["part"] == part)
    rows = sums[part]

    def change(s):
        return (s[..., 0] - s[..., 1]) / s[..., 2]

    def bits(s):
        return (s[..., 0] - s[..., 1]) / s[..., 3] / np.log(2)

    near((line["low"], line["high"]), scipy_s(rows, change)[0])
    near((line["bits_low"], line["bits_high"]), scipy_s(rows, bits)[0])
    assert (line["ratio_low"], line["ratio_high"]) == pytest.approx(
        (np.exp(line["low"]), np.exp(line["high"]))
    )
    interval, drawn = scipy_s(by_cluster(rows, hosts), change)
    near((line["host_low"], line["host_high"]), interval)
    # p is over hosts, where there are enough: twice the draws on the rarer side of 0.
    p = 2 * min((drawn <= 0).mean(), (drawn >= 0).mean())
    assert 0.02 < p < 0.98 and line["p"] == pytest.approx(p, abs=0.02)
    values = sorted(e["p"] for e in found["effects"])
    assert line["p_holm"] == max(
        min(1, (len(values) - n) * p) for n, p in enumerate(values) if p <= line["p"]
    )


def test_intervals_of_places_are_scipy_s():
    tokens = np.array([5, 12, 40, 200] * 15)
    zero = np.zeros(60, int)
    documents = Documents(
        index=np.arange(60), country=zero, title_tokens=zero, body_tokens=tokens, whole=zero == 0,
        token_hash=zero, skipped={}, title_bytes=zero, body_bytes=zero,
    )  # fmt: skip
    counts = tokens_by_band(documents)
    change = np.random.default_rng(2).normal(-0.1, 0.4, counts.shape) * counts
    scores = {TOLD: Scores(zero, zero, zero, change), UNTOLD: Scores(zero, zero, zero, 0 * change)}
    lines = by_place({"m": documents}, scores, [EFFECT], **SETTINGS)
    assert [line["stop"] for line in lines] == list(BANDS[:6])
    for band, line in enumerate(lines):
        interval, _ = scipy_s(change[:, band, None], lambda s: s[..., 0] / 60)
        near((line["low"], line["high"]), interval)
        assert line["per_token"] == pytest.approx(change[:, band].sum() / counts[:, band].sum())


CODES = sorted(countries())[:15]


def questions(number=90):
    """Six of each country; each tenth stands again behind it, under another id."""
    found = []
    for n in range(number):
        country = CODES[n % 15]
        found.append(Question(
            id=f"q{n}", kind="explicit", country=country, continent=countries()[country].continent,
            prompt=f"Who is the {n - 15 * (n % 10 == 0 and n >= 15)}th?", options=("a", "b", "c"),
            answer=0, contrast=1, contrast_country=CODES[(n + 1 + n // 45) % 15],
        ))  # fmt: skip
    return found


def test_differences_of_accuracy_are_scipy_s_over_questions_and_over_countries():
    asked = questions()
    rng = np.random.default_rng(3)
    easy = rng.uniform(size=15)[np.arange(90) % 15]
    chosen = [(rng.uniform(size=90) > rate).astype(int) for rate in (easy, 0.8 * easy)]
    answers = {key: Answers(c, c) for key, c in zip((TOLD, UNTOLD), chosen, strict=True)}
    found = accuracy.tables(QuestionSet(asked, [np.arange(3)] * 90, {}), answers, [EFFECT],
                            **SETTINGS)  # fmt: skip
    (line,) = found["effects"]
    hits = np.stack([*(c == 0 for c in chosen), np.ones(90)], 1).astype(float)
    same = np.unique([f"{q.prompt} {q.country}" for q in asked], return_inverse=True)[1]
    assert 80 < len(set(same)) < 90

    def difference(s):
        return (s[..., 0] - s[..., 1]) / s[..., 2]

    assert line["difference"] == pytest.approx(difference(hits.sum(0)))
    near((line["low"], line["high"]), scipy_s(by_cluster(hits, same), difference)[0])
    country = np.arange(90) % 15
    near((line["country_low"], line["country_high"]),
         scipy_s(by_cluster(hits, country), difference)[0])  # fmt: skip
    # One that stands again is no further answer: of both together, which has more of them right?
    sums = by_cluster(hits, same)
    only = [int((sums[:, a] > sums[:, b]).sum()) for a, b in ((0, 1), (1, 0))]
    assert line["p"] == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)


def test_a_p_is_that_of_the_questions_once_however_often_they_stand():
    """Every question four times: nothing more is known than of one of each."""
    asked = [
        Question(id=f"q{n}", kind="explicit", country="gb", continent="Europe",
                 prompt=f"the {n % 12}th", options=("a", "b"), answer=0)
        for n in range(48)
    ]  # fmt: skip
    told, untold = (np.arange(48) % 12 >= n for n in (1, 7))
    answers = {TOLD: Answers(told.astype(int), told), UNTOLD: Answers(untold.astype(int), untold)}
    widths = []
    for number in (12, 48):
        kept = {key: Answers(of.by_sum[:number], of.by_sum[:number]) for key, of in answers.items()}
        found = accuracy.tables(QuestionSet(asked[:number], [np.arange(2)] * number, {}), kept,
                                [EFFECT], **SETTINGS)  # fmt: skip
        assert found["effects"][0]["p"] == pytest.approx(stats.binomtest(0, 6).pvalue)
        (cell,) = (c for c in found["cells"] if (c["group"], c["condition"], c["rule"])
                   == ("all", "without", "by_sum"))  # fmt: skip
        widths.append(cell["high"] - cell["low"])
    assert widths[0] <= widths[1] < 1.2 * widths[0]


def test_what_is_asked_in_other_words_is_one_question_of_every_interval():
    """Intervals of accuracies hold the truth at their rate, where each fact is asked five times."""
    rng, inside, alone = np.random.default_rng(0), 0, 0
    asked = [
        Question(id=f"q{n}", kind="explicit", country="gb", continent="Europe", unit=str(n % 20),
                 prompt=f"in the {n}th words", options=("a", "b"), answer=0)
        for n in range(100)
    ]  # fmt: skip
    for _ in range(150):
        chosen = (rng.uniform(size=20) > 0.6).astype(int)[np.arange(100) % 20]
        found = accuracy.tables(QuestionSet(asked, [np.arange(2)] * 100, {}),
                                {TOLD: Answers(chosen, chosen)}, [], **SETTINGS)  # fmt: skip
        cell = found["cells"][0]
        inside += cell["low"] <= 0.6 <= cell["high"]
        wilson = stats.binomtest(cell["correct"], 100).proportion_ci(0.9, method="wilson")
        alone += wilson.low <= 0.6 <= wilson.high
    assert inside / 150 > 0.84 and alone / 150 < 0.65  # 0.9, with a standard error of 0.025
    # So of differences: 20 facts, of which 3 are won and one is lost, in whatever many words.
    told, untold = np.zeros(100, int), np.zeros(100, int)
    untold[[0, 20, 40, 1, 2]] = 1
    told[[2, 22, 3]] = 1
    answers = {TOLD: Answers(told, told), UNTOLD: Answers(untold, untold)}
    (line,) = accuracy.tables(QuestionSet(asked, [np.arange(2)] * 100, {}), answers, [EFFECT],
                              **SETTINGS)["effects"]  # fmt: skip
    assert line["p"] == pytest.approx(stats.binomtest(2, 4).pvalue)
    hits = np.stack([told == 0, untold == 0, np.ones(100)], 1).astype(float)
    interval, _ = scipy_s(by_cluster(hits, np.arange(100) % 20),
                          lambda s: (s[..., 0] - s[..., 1]) / s[..., 2])  # fmt: skip
    assert (line["low"], line["high"]) == pytest.approx(tuple(interval), abs=0.011)


def test_the_margin_s_shift_is_scipy_s_over_pairs_of_countries():
    asked = questions()
    rng = np.random.default_rng(4)
    margins = rng.normal(0.2, 1, (2, 90, 3))
    best = margins.argmax(2)
    answers = {
        ("m", condition): Answers(best[n], best[n], log_p=margins[n])
        for n, condition in enumerate(("with", "contrast"))
    }
    (line,) = switch.table(asked, answers, {"m": False}, "by_sum", **SETTINGS)
    own, other = (m[:, 0] - m[:, 1] for m in margins)
    rows = np.stack([own - other, np.ones(90)], 1)
    pairs = np.array([" ".join(sorted((q.country, q.contrast_country))) for q in asked])
    assert line["country_pairs"] == len(set(pairs)) < 90
    interval, drawn = scipy_s(by_cluster(rows, pairs), lambda s: s[..., 0] / s[..., 1])
    near((line["shift_low"], line["shift_high"]), interval)
    p = 2 * min((drawn <= 0).mean(), (drawn >= 0).mean())
    assert p > 0.02 and line["p"] == pytest.approx(p, abs=0.02)
    exact = (best[0] == 0) & (best[1] == 1)
    for name, hits in (("exact", exact), ("margin", own > other)):
        assert line[name] == hits.mean()
        assert (line[f"{name}_low"], line[f"{name}_high"]) == clustered_wilson(
            hits, pairs, CONFIDENCE
        )


def test_nearest_countries_and_explained_variance_are_those_of_loops():
    rng = np.random.default_rng(5)
    names = np.array(["gb", "ie", "ke", "ng", "us"])
    continent_of = {"gb": "Europe", "ie": "Europe", "ke": "Africa", "ng": "Africa", "us": "America"}
    country = names[rng.integers(5, size=80)]
    continent = np.array([continent_of[c] for c in country])
    states = rng.normal(size=(1, 80, 6)) + rng.normal(size=(5, 6))[np.searchsorted(names, country)]
    unit = states[0] - states[0].mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for line in of_regions(states, country, continent):
        mine = np.flatnonzero(continent == line["region"])
        others = [c for c in names if continent_of[c] != line["region"]]
        centres = {c: np.mean([unit[n] for n in range(80) if country[n] == c], 0) for c in others}
        nearest = [continent_of[min(others, key=lambda c, n=n: cosine(unit[n], centres[c]))]
                   for n in mine]  # fmt: skip
        assert 0 < max(line["nearest"].values()) < 1
        for place, share in line["nearest"].items():
            assert share == pytest.approx(nearest.count(place) / len(mine))
        if line["explained"] is not None:
            groups = [unit[mine][country[mine] == c] for c in set(country[mine])]
            within = sum(((group - group.mean(0)) ** 2).sum() for group in groups)
            whole = ((unit[mine] - unit[mine].mean(0)) ** 2).sum()
            assert line["explained"] == pytest.approx(1 - within / whole)


def test_how_often_a_control_tells_the_truth_by_chance_is_that_of_what_is_shown(config):
    plan = make_plan(config)
    found = describe_documents(plan)["controls"]
    composer = plan.composers["with"]
    for condition in ("shuffled", "wrong_country"):
        shown = plan.shown.record_of(condition, composer)
        pairs = [(plan.items.record(n), shown(n)) for n in plan.documents.index.tolist()]
        same = SimpleNamespace(**{
            name: np.mean([getattr(own, name) == getattr(told, name) for own, told in pairs])
            for name in ("host", "country")
        })  # fmt: skip
        expected = {"same_host": same.host, "same_country": same.country}
        assert found[condition] == pytest.approx(expected)


def test_two_countries_are_one_pair_whichever_is_asked_about():
    """A fact of two countries, asked from both sides, moves both margins alike."""
    rng = np.random.default_rng(5)
    sides, margins = [[], []], [[], []]
    for n, (one, other) in enumerate(combinations(CODES[:6], 2)):
        told = rng.normal(size=(2, 2))  # of one, of the other; log p of both answers
        for side, (own, contrast) in enumerate(((one, other), (other, one))):
            sides[side].append(Question(
                id=f"q{n}/{side}", kind="explicit", country=own, continent="", prompt=f"the {n}th",
                options=("a", "b"), answer=side, contrast=1 - side, contrast_country=contrast,
            ))  # fmt: skip
            margins[side].append(told[::-1] if side else told)

    def lines(asked, of):
        log_p = np.array(of)
        answers = {
            ("m", condition): Answers(log_p[:, n].argmax(1), log_p[:, n].argmax(1),
                                      log_p=log_p[:, n])
            for n, condition in enumerate(("with", "contrast"))
        }  # fmt: skip
        return switch.table(asked, answers, {"m": False}, "by_sum", **SETTINGS)

    (half,), (whole,) = (
        lines(sides[0], margins[0]),
        lines([*sides[0], *sides[1]], [*margins[0], *margins[1]]),
    )
    assert whole["shift"] == pytest.approx(half["shift"])
    assert whole["country_pairs"] == half["country_pairs"] == 15
    # The same draws of the same pairs.
    for end in ("shift_low", "shift_high"):
        assert whole[end] == pytest.approx(half[end])


@pytest.mark.parametrize(("titled", "has_interval"), [(MIN_DOCUMENTS - 1, False), (20, True)])
def test_what_few_documents_have_has_no_interval(titled, has_interval):
    title = np.where(np.arange(60) < titled, 4, 0)
    zero = np.zeros(60, int)
    documents = Documents(
        index=np.arange(60), country=zero, title_tokens=title, body_tokens=zero + 9,
        whole=zero == 0, token_hash=zero, skipped={}, title_bytes=title, body_bytes=zero + 9,
    )  # fmt: skip
    rng = np.random.default_rng(6)
    scores = {
        key: Scores(title * rng.uniform(1, 3, 60), 9 * rng.uniform(1, 3, 60), zero)
        for key in (TOLD, UNTOLD)
    }
    found = tables({"m": documents}, scores, [Group("all", "all", np.arange(60))], [EFFECT],
                   hosts=np.arange(60), **SETTINGS)  # fmt: skip
    for lines in found.values():
        by_part = {line["part"]: line for line in lines}
        assert (by_part["title"]["low"] is not None) == has_interval
        assert by_part["title"]["documents"] == titled and by_part["body"]["documents"] == 60
        assert by_part["body"]["low"] is not None and by_part["text"]["low"] is not None
    ends = {line["part"]: line["host_low"] for line in found["effects"]}
    assert (ends["title"] is not None) == has_interval and ends["body"] is not None
