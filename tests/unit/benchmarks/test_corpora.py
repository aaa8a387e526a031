"""Generated corpora: the same every time, like news where it matters, of known similarity."""

import hashlib
import itertools
import re
from collections import Counter

import orjson
import pytest

from benchmarks.corpora.duplicates import duplicated_records, shingles, similarity
from benchmarks.corpora.news import ENDINGS, records, urls, write_jsonl
from data_prep.annotate.urls import parse_url
from geo_nemo.metadata.geography import countries


@pytest.fixture(scope="module")
def news():
    return list(records(600))


def test_the_same_count_and_seed_give_the_same_bytes(news):
    def digest(rows):
        return hashlib.sha256(orjson.dumps(rows)).hexdigest()[:16]

    assert digest(news) == digest(list(records(600)))
    assert digest(news) != digest(list(records(600, seed=1)))


def test_a_longer_corpus_begins_with_the_shorter_one(news):
    assert list(itertools.islice(records(10_000), 512)) == news[:512]


def test_texts_are_sentences_of_words_by_zipf_s_law(news):
    text = "\n\n".join(row["text"] for row in news)
    counts = Counter(re.findall(r"[a-z]+", text.lower()))
    (first, most), *_ = counts.most_common()
    assert first == "the"
    assert 0.03 < most / counts.total() < 0.12
    assert len(counts) > 10_000
    assert sum(count == 1 for count in counts.values()) > len(counts) / 4
    assert 4.5 < len(text) / len(text.split()) < 7.5
    sentences = re.split(r"[.]\s+", text.rstrip("."))
    assert all(sentence[0].isupper() or sentence[0].isdigit() for sentence in sentences)
    assert 12 < len(text.split()) / len(sentences) < 24


def test_every_url_is_a_page_of_its_own_on_a_host_of_the_record_s_country(news):
    parsed = [parse_url(row["url"]) for row in news]
    assert len({url.href for url in parsed}) == len(news)
    national = {code: {e.rpartition(".")[2] for e in ENDINGS[code]} for code in ENDINGS}
    for row, url in zip(news, parsed, strict=True):
        assert url.host.name.rpartition(".")[2] in national[row["country"]]
    assert {row["country"] for row in news} == ENDINGS.keys()
    assert ENDINGS.keys() <= countries().keys()


def test_urls_alone_are_as_many_and_each_another_page():
    found = list(urls(700))
    assert len(found) == len(set(found)) == 700


def test_jsonl_holds_the_records_and_says_how_much_text(tmp_path, news):
    size = write_jsonl(tmp_path / "n.jsonl", iter(news[:3]))
    lines = (tmp_path / "n.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line) for line in lines] == news[:3]
    assert size == sum(len(row["text"].encode()) for row in news[:3])


def test_similarity_is_jaccard_s_over_word_5_grams():
    one, other = shingles("A b c d e f."), shingles("a B, c d e g")
    assert one == {("a", "b", "c", "d", "e"), ("b", "c", "d", "e", "f")}
    assert similarity(one, other) == 1 / 3
    assert similarity(one, one) == similarity(set(), set()) == 1
    assert shingles("a b c d") == set()


def test_every_pair_that_is_alike_is_listed_with_its_similarity():
    rows, pairs = duplicated_records(150, seed=3)
    sets = [shingles(row["text"]) for row in rows]
    known = {(pair.first, pair.second): pair.similarity for pair in pairs}
    for first, second in itertools.combinations(range(len(rows)), 2):
        true = similarity(sets[first], sets[second])
        assert known.get((first, second), 0) == pytest.approx(true, abs=0.01)
    assert len({row["id"] for row in rows}) == 150
    assert {int(10 * value) for value in known.values()} >= {7, 8, 9}
