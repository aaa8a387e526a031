"""Data that grow: what was held out stays so, and what was trained on is not held out."""

import json

import numpy as np
import pytest

from data_prep.config import Balance, Prep, Splits
from data_prep.graph import run_prep
from data_prep.splits.earlier import JSON_NAME, NOTHING, Settled, _joined, _read, write
from data_prep.splits.find import find_rules
from data_prep.splits.outcomes import OUTCOMES, TEST, TRAIN, VALIDATION
from data_prep.splits.rules import CODES
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from tests.unit.data_prep.splits.worlds import HASHES, chunked, rows, take
from tests.unit.data_prep.worlds import record, write_jsonl

# Months of documents: large and small countries, some of which come or grow later.
SIZES = [
    {"gb": 900, "ke": 100, "us": 300, "jm": 4},
    {"gb": 1400, "ke": 160, "us": 700, "jm": 14, "ng": 12},
    {"gb": 2000, "ke": 600, "us": 2000, "jm": 40, "ng": 300, "mt": 7},
]
WAYS = {
    "share": Splits(),
    "least": Splits(test_min_per_country=10),
    "most": Splits(test_max_per_country=20),
    "continent": Splits(test_per_continent=40),
    "hosts": Splits(by="host", train=0.8, validation=0.1, test=0.1),
    "year": Splits(by="year", test_years=(2024,), test_max_per_country=30),
}


def months():
    """Rows after each month; a document is the same in all of them."""
    place = np.random.default_rng(3).permutation(len(HASHES))
    used: dict[str, list[int]] = {}
    free = iter(place.tolist())
    for sizes in SIZES:
        for country, size in sizes.items():
            mine = used.setdefault(country, [])
            mine += [next(free) for _ in range(size - len(mine))]
        at = [n for country in sorted(used) for n in used[country]]
        countries = [c for c in sorted(used) for _ in used[c]]
        units = [int(HASHES[n % 97]) ^ ord(c[0]) for n, c in zip(at, countries, strict=True)]
        yield at, countries, units, [2024 if n % 5 == 0 else 2023 for n in at]


@pytest.mark.parametrize("way", WAYS)
def test_a_document_keeps_its_split_while_months_are_added(way):
    splits, before, settled = WAYS[way], {}, NOTHING
    for at, countries, units, years in months():
        units = units if splits.by == "host" else None
        found = rows(countries, units, HASHES[at], years=years)
        rules, settled, totals = find_rules(
            lambda found=found: chunked(found, 700), splits, Balance(), 5, earlier=settled
        )
        now = dict(zip(at, rules.outcomes(found).tolist(), strict=True))
        moved = {(OUTCOMES[before[n]], OUTCOMES[now[n]]) for n in before if before[n] != now[n]}
        # Spare documents of a test year were never trained on.
        assert not moved - {("over_cap", "test")}
        assert sum(totals.values()) == len(at)
        before = now
        if way == "continent":
            homes = np.array([CODES[c] for c in found.country])
            test = rules.outcomes(found) == TEST
            for places in (("ke", "ng"), ("us", "jm"), ("gb", "mt")):
                assert test[np.isin(homes, places)].sum() == 40
    counts = np.bincount(list(before.values()), minlength=4)
    assert counts[TEST] and counts[TRAIN] and (counts[VALIDATION] or way == "year")


def test_new_documents_are_drawn_at_the_old_fraction():
    first, more = rows(["gb"] * 5000), rows(["gb"] * 20_000)
    _, settled, _ = find_rules(lambda: chunked(first, 700), Splits(), Balance(), 5)
    later, *_ = find_rules(lambda: chunked(more, 700), Splits(), Balance(), 5, earlier=settled)
    new = take(more, slice(5000, None))
    found = later.outcomes(new)
    assert abs((found == TEST).sum() - 600) < 72  # 15,000 x .04 +- three standard deviations
    assert abs((found == VALIDATION).sum() - 300) < 52


@pytest.mark.parametrize("old", [False, True])
def test_a_country_that_must_give_more_takes_none_that_was_trained_on(tmp_path, old):
    """Of 1,000 documents the lowest 201 draws are kept: above them old and new look alike."""
    splits, first = Splits(test_per_continent=100), rows(["gb"] * 1000 + ["ie"] * 1000)
    rules, settled, totals = find_rules(lambda: [first], splits, Balance(), 5)
    before = rules.outcomes(first)[:1000]
    given = {c: int((before == TEST).sum()) for c in ("gb", "ie")}
    (tmp_path / "splits").mkdir()
    write(tmp_path / "splits", settled, "now", {"totals": totals, "given": given})
    if old:  # as it was written before it told how far it goes
        path = tmp_path / "splits" / JSON_NAME
        about = json.loads(path.read_bytes())
        path.write_text(
            json.dumps({k: v for k, v in about.items() if k not in ("known", "arrays")})
        )
    settled, _ = _read(tmp_path, "now")
    # Ireland's are gone, and Britain's share of the test grows from 50 to 100.
    grown = rows(["gb"] * 1100, contents=np.append(HASHES[:1000], HASHES[5000:5100]))
    rules, settled, _ = find_rules(lambda: [grown], splits, Balance(), 5, earlier=settled)
    after = rules.outcomes(grown)
    assert set(after[:1000][before == TEST]) == {TEST}
    assert TEST not in after[:1000][before != TEST]
    assert 0 < (after[1000:] == TEST).sum() < 50
    # Nor a month later, when there is more again.
    more = rows(["gb"] * 1200, contents=np.append(grown.content, HASHES[5100:5200]))
    rules, settled, _ = find_rules(lambda: [more], splits, Balance(), 5, earlier=settled)
    last = rules.outcomes(more)
    assert TEST not in last[:1100][after != TEST]
    assert (last == TEST).sum() > (after == TEST).sum()
    # What stays may be more than is asked for: no setting but these helps.
    contents = np.append(more.content, HASHES[1000:2000])
    back = rows(["gb"] * 1200 + ["ie"] * 1000, contents=contents)
    with pytest.raises(UserError, match=r"^splits\.test_per_continent=100: earlier runs hold out"):
        find_rules(lambda: [back], splits, Balance(), 5, earlier=settled)


def test_what_is_settled_shows_in_its_words_what_others_ask(tmp_path):
    """Of as many documents, but others: `dedup.against` reads the words alone."""
    words = []
    for name, test in (("a", HASHES[:2]), ("b", HASHES[2:4])):
        (tmp_path / name).mkdir()
        write(tmp_path / name, Settled(test=np.sort(test)), "now", {"totals": {}, "given": {}})
        words.append((tmp_path / name / JSON_NAME).read_text())
    assert words[0] != words[1]


def test_a_run_against_another_does_not_take_a_country_s_least_again():
    whole = rows(["jm"] * 40)
    first, second = take(whole, slice(0, 20)), take(whole, slice(20, 40))
    splits = Splits(train=0.9999, validation=0, test=0.0001)
    rules, settled, totals = find_rules(lambda: [first], splits, Balance(), 5)
    given = {"jm": int((rules.outcomes(first) == TEST).sum())}
    assert given == {"jm": 2}
    before = _joined(None, [(settled, {"totals": totals, "given": given})])
    rules, *_ = find_rules(lambda: [second], splits, Balance(), 5, earlier=before)
    assert (rules.outcomes(second) == TEST).sum() == 0


def test_hosts_of_a_run_against_keep_their_split():
    units = [int(HASHES[n % 50]) for n in range(4000)]
    first = rows(["gb"] * 4000, units)
    splits = Splits(by="host", train=0.8, validation=0.1, test=0.1)
    rules, settled, totals = find_rules(lambda: [first], splits, Balance(), 5)
    before = _joined(None, [(settled, {"totals": totals, "given": {}})])
    new = rows(["gb"] * 4000, units, HASHES[4000:8000])
    later, *_ = find_rules(lambda: [new], splits, Balance(), 5, earlier=before)
    assert later.outcomes(new).tolist() == rules.outcomes(first).tolist()


def prepared(tmp_path, output, months, **changes):
    inputs = [str(tmp_path / f"{name}.jsonl") for name in months]
    config = Prep.model_validate(
        {"input": inputs, "output": str(tmp_path / output), "tokenizer": {"vocab_size": 400},
         "execution": {"workers": 1}, "corpus": "none", **changes}
    )  # fmt: skip
    run_prep(config)
    store = TokenStore.open(tmp_path / output / "store")
    return store, {
        (split, int(value))
        for split in store.splits
        if store.manifest.splits[split].documents
        for value in store.split(split).content_hash
    }


@pytest.mark.parametrize("keep_work", [True, False])
def test_the_monthly_recipe_keeps_splits_and_tokenizer(tmp_path, keep_work):
    """As docs/data.md has it: a month's file is added, and the same command is run."""
    write_jsonl(tmp_path / "may.jsonl", [record(i, ("gb", "ke")[i % 20 == 0]) for i in range(200)])
    write_jsonl(
        tmp_path / "june.jsonl", [record(i, ("gb", "ke", "us")[i % 3]) for i in range(200, 500)]
    )
    changes = {"keep_work": keep_work}
    first, before = prepared(tmp_path, "out", ["may"], **changes)
    tokenizer = first.manifest.tokenizer
    second, after = prepared(tmp_path, "out", ["may", "june"], **changes)
    assert before <= after and len(after) == 500
    assert second.manifest.tokenizer == tokenizer
    # Drawn anew, some documents would have another split, and the tokenizer is another.
    anew, other = prepared(tmp_path, "anew", ["may", "june"], **changes)
    assert anew.manifest.tokenizer != tokenizer
    assert not before <= other


def test_a_month_against_the_months_before_takes_their_tokenizer(tmp_path):
    write_jsonl(tmp_path / "may.jsonl", [record(i) for i in range(200)])
    write_jsonl(tmp_path / "june.jsonl", [record(i) for i in range(150, 400)])
    first, before = prepared(tmp_path, "one", ["may"])
    against = {"dedup": {"against": [str(tmp_path / "one")]}}
    second, after = prepared(tmp_path, "two", ["june"], **against)
    assert second.manifest.tokenizer == first.manifest.tokenizer
    assert {value for _, value in before}.isdisjoint(value for _, value in after)
    assert second.manifest.splits["train"].documents > 150


def test_other_settings_draw_anew_and_damage_is_said(tmp_path, caplog):
    write_jsonl(tmp_path / "may.jsonl", [record(i) for i in range(100)])
    prepared(tmp_path, "out", ["may"])
    prepared(tmp_path, "out", ["may"], splits={"by": "cluster"})
    assert "drawn anew" not in caplog.text
    _, found = prepared(
        tmp_path, "out", ["may"], splits={"train": 0.5, "validation": 0, "test": 0.5}
    )
    assert 30 < sum(split == "test" for split, _ in found) < 70
    (said,) = [r.getMessage() for r in caplog.records if "drawn anew" in r.getMessage()]
    assert "splits.test=0.04 (now 0.5), splits.train=0.94 (now 0.5)" in said
    (tmp_path / "out/splits/settled.npz").write_bytes(b"PK garbage")
    write_jsonl(tmp_path / "june.jsonl", [record(i) for i in range(100, 150)])
    with pytest.raises(UserError, match="splits is damaged"):
        prepared(
            tmp_path, "out", ["may", "june"], splits={"train": 0.5, "validation": 0, "test": 0.5}
        )


def test_nothing_is_settled_before_a_first_run(tmp_path):
    assert _joined(None, []) is NOTHING and isinstance(NOTHING, Settled)
