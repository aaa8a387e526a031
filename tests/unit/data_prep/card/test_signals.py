"""What a card says of hosts, slugs, axes and synthetic texts; what was looked for."""

import json

import pytest

from data_prep.card.data import HostFacts, Signals
from data_prep.card.markdown import to_markdown
from data_prep.card.page import to_html
from data_prep.card.signals import is_synthetic
from data_prep.card.told import NEVER, looked_for, told
from data_prep.config import Prep
from tests.unit.data_prep.card.cards import card

HOSTS = HostFacts(hosts=420, countries=20, national=0.4, agreeing=0.99, tested=126, majority=0.35,
                  whole=0.61, stem=0.42)  # fmt: skip
FOUND = Signals(documents=900, titled=800, spelled=600, synthetic=True, hosts=HOSTS,
                axes=("host", "country", "year"))  # fmt: skip


def test_the_sentences_have_the_figures():
    said = " ".join(told(card(signals=FOUND)))
    assert said.startswith("The corpus is synthetic: ")
    assert "Documents differ by host, country, year." in said
    assert "Of 75.0% of 800 titles the URL's path spells half of the words or more" in said
    assert "Of 420 hosts 40% end in a national domain, and of those 99% in that of their" in said
    assert "one of 20 countries for 61% of 126 hosts that it was not fitted on, 42% without" in said
    assert "the most frequent one, 35%" in said


def test_a_real_corpus_is_not_called_synthetic_and_an_older_card_says_nothing():
    real = FOUND.model_copy(update={"synthetic": False, "hosts": None, "titled": 0})
    assert told(card(signals=real)) == ["Documents differ by host, country, year."]
    assert told(card()) == []


def test_what_was_looked_for_and_what_was_not_are_all_of_it():
    done, missed = looked_for(card())
    assert done == (
        "Looked for: exact copies, near-duplicates, texts of evaluations, personal data (e-mail, "
        "IP, phone), poor quality by published filters, other languages than wanted."
    )
    assert missed == (
        f"Not looked for: toxicity (words of a list), licences of single texts, {', '.join(NEVER)}."
    )


@pytest.mark.parametrize("write", [to_markdown, to_html])
def test_both_cards_have_them(write):
    text = write(card(signals=FOUND))
    assert "What metadata tell" in text and "Not looked for: toxicity" in text
    assert "The corpus is synthetic" in text
    assert "What metadata tell" not in write(card())


def test_texts_are_synthetic_that_stand_beside_what_synth_leaves(tmp_path):
    (tmp_path / "news.jsonl.gz").write_bytes(b"")
    config = Prep(input=({"path": str(tmp_path / "news.jsonl.gz")},), output=str(tmp_path / "out"))
    assert not is_synthetic(config)
    (tmp_path / "synth.json").write_text(json.dumps({}))
    assert is_synthetic(config)
