"""The grammar's corpus: sentences are those of its rules, and it ends or is refused."""

import gzip
import itertools
import json
import math
from collections import Counter, defaultdict

import pytest
from click.testing import CliRunner

from data_prep.synth import Synth, write_corpus, write_pcfg
from data_prep.synth.pcfg import WORDS, Grammar, records
from geo_nemo.cli.synth import command
from geo_nemo.common.errors import UserError


def config(output="out", **changes):
    return Synth(output=str(output), kind="pcfg", **{"documents": 60, "levels": 2} | changes)


def language(grammar, latent, level=0, symbol=0) -> dict[str, float]:
    """Every sentence of a symbol and its probability, by expanding all of it."""
    if level == grammar.levels:
        return {WORDS[symbol]: 1.0}
    found = defaultdict(float)
    for bit, rule in enumerate(grammar.rules[level][symbol]):
        p = grammar.likely if bit == latent[level] else 1 - grammar.likely
        parts = [language(grammar, latent, level + 1, child).items() for child in rule]
        for chosen in itertools.product(*parts):
            found[" ".join(word for word, _ in chosen)] += p * math.prod(q for _, q in chosen)
    return found


def languages(grammar):
    return {v: language(grammar, v) for v in itertools.product((0, 1), repeat=grammar.levels)}


def latent_of(record, levels=2):
    return tuple("ab".index(record[f"level{n + 1}"]) for n in range(levels))


def sentences(record):
    return [s for part in ("title", "text") for s in record[part].rstrip(".").split(". ")]


def test_sentences_are_those_of_their_latent_s_grammar():
    settings = config()
    of = languages(Grammar(2, settings.likely, 0.0, settings.seed))
    assert all(sum(each.values()) == pytest.approx(1) for each in of.values())
    for record in records(settings):
        assert set(sentences(record)) <= set(of[latent_of(record)])
        assert len(record["title"].rstrip(".").split(". ")) == int(record["prompt"])
        assert len(sentences(record)) == int(record["prompt"]) + settings.sentences


def test_sentences_come_as_often_as_the_rules_say():
    settings = config(documents=2000, sentences=4, prompts=(1,))
    of = languages(Grammar(2, settings.likely, 0.0, settings.seed))
    counts = defaultdict(Counter)
    for record in records(settings):
        counts[latent_of(record)].update(sentences(record))
    for latent, found in counts.items():
        total = sum(found.values())
        for sentence, p in of[latent].items():
            # Five standard deviations of a binomial count, and one for the rarest.
            assert abs(found[sentence] - total * p) < 5 * math.sqrt(total * p) + 1


def test_the_longer_the_prompt_the_surer_the_latent():
    """Posterior of the true latent by Bayes from the exact probabilities of the sentences."""
    settings = config(documents=400, prompts=(1, 8))
    of = languages(Grammar(2, settings.likely, 0.0, settings.seed))
    sure = defaultdict(list)
    for record in records(settings):
        prompt = record["title"].rstrip(".").split(". ")
        p = {latent: math.prod(each[s] for s in prompt) for latent, each in of.items()}
        sure[record["prompt"]].append(p[latent_of(record)] / sum(p.values()))
    means = {prompt: sum(each) / len(each) for prompt, each in sure.items()}
    assert 0.3 < means["1"] < 0.8 < 0.9 < means["8"] < 1


def test_a_document_depends_on_seed_and_number_alone(tmp_path):
    first = list(records(config(documents=10)))
    assert list(records(config(documents=30)))[:10] == first
    assert list(records(config(documents=10, seed=1))) != first
    write_pcfg(config(tmp_path))
    with gzip.open(tmp_path / "news.jsonl.gz", "rt") as file:
        assert [json.loads(line) for line in file] == list(records(config()))
    assert json.loads((tmp_path / "synth.json").read_text())["latents"] == 4


def test_again_makes_sentences_longer_and_they_end():
    plain, longer = (list(records(config(again=again))) for again in (0.0, 0.1))
    words = [sum(len(r["text"].split()) for r in each) for each in (plain, longer)]
    # 6.25 words on average, over latents, of which a tenth begins another: 1 / (1 - 0.625).
    assert 1.6 < words[1] / words[0] < 5


@pytest.mark.parametrize("again", [0.13, 1.0])
def test_a_grammar_that_does_not_end_is_one_line(again, tmp_path):
    with pytest.raises(UserError, match=rf"again={again:g}: a grammar that does not end"):
        write_pcfg(config(tmp_path / "out", again=again))
    assert not (tmp_path / "out").exists()


def test_by_the_command(tmp_path):
    done = CliRunner().invoke(
        command, [f"output={tmp_path}", "kind=pcfg", "documents=20", "prompts=[1,3]"]
    )
    assert done.exit_code == 0, done.output
    assert "of 8 latents" in done.output


def test_nothing_of_an_older_corpus_stays_beside_it(tmp_path):
    """Its shards would be read as this one's, by the same pattern."""
    write_corpus(Synth(output=str(tmp_path), documents=4, shards=2))
    (tmp_path / "notes.txt").write_text("mine")
    write_pcfg(config(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"news.jsonl.gz", "synth.json", "notes.txt"}
