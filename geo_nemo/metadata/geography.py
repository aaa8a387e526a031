"""Countries, continents and national domains: a small reviewed table of our own.

`countries.csv` holds every ISO 3166-1 alpha-2 code and Kosovo's `xk`, in lower case, with the one
continent it belongs to here. Its decisions:

- The United Nations' M49 regions decide, with North and South America merged into America.
- So Russia is in Europe; Türkiye and Cyprus are in Asia, as are the Caucasus and Kazakhstan. The
  column `also_accepted` lists the other continent that sources commonly give such a country: a
  record may say so and is kept, with the table's continent.
- Antarctica (`aq`) has none of the five continents and is no country here.
- `na` is Namibia, never a missing value. `uk` is read as `gb` and the European Union's `el` as
  `gr`.
- Codes of three letters and English names are read too: official ones, common ones, older ones
  (`Burma`), and those of the parts of the United Kingdom. Sources: ISO 3166-1 as pycountry has it,
  Unicode's CLDR. `Korea` alone is not one country, and so none.
"""

import csv
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# What stores, corpora and counts call the country and continent of a document that tells neither.
UNKNOWN = "unknown"
CONTINENTS = ("Africa", "America", "Asia", "Europe", "Oceania")

_LONGEST = 80  # characters of a country's name
_FLAG_A = 0x1F1E6  # the first of the letters that flags are made of
_BRACKETS = re.compile(r"\s*[(\[]([^)\]]*)[)\]]")
_SHORT = {"rep": "republic", "dem": "democratic", "is": "islands", "st": "saint", "isl": "islands",
          "fed": "federal"}  # fmt: skip
_LETTERS = re.compile(r"[^\W\d_]+")
_CODE_ALIASES = {"uk": "gb", "el": "gr"}
_CONTINENT_ALIASES = {
    "americas": "America",
    "the americas": "America",
    "north america": "America",
    "central america": "America",
    "south america": "America",
    "latin america": "America",
    "australia": "Oceania",
    "australia and oceania": "Oceania",
}

# National domains sold worldwide say nothing of a country. Up to "ws" these are
# what Google Search documents as generic country-code domains; then others in wide generic use.
GENERIC_DOMAINS = frozenset((
    "ad", "ai", "as", "bz", "cc", "cd", "co", "dj", "fm", "io", "la", "me", "ms", "nu", "sc", "sr",
    "su", "tk", "tv", "ws",
    "ac", "ag", "cf", "cx", "eu", "ga", "gg", "gl", "gq", "gs", "lc", "ly", "ml", "pw", "sh", "st",
    "tf", "to", "vc", "vg",
))  # fmt: skip
# Below national domains in generic use, what a registry keeps for its own country: that of Colombia
# sold nothing but the first of these until 2010.
_KEPT = frozenset(
    [f"{kind}.co" for kind in ("com", "net", "org", "nom")]
    + [f"{kind}.{code}" for kind in ("gov", "mil", "edu") for code in GENERIC_DOMAINS]
)
# Open to United States bodies, which publish about the whole world.
UNITED_STATES_BODIES = frozenset({"gov", "mil", "edu"})

_IDN_DOMAINS = {
    "ae": "امارات", "am": "հայ", "bd": "বাংলা", "bg": "бг", "bh": "البحرين", "by": "бел",
    "cn": "中国 中國", "dz": "الجزائر", "eg": "مصر", "ge": "გე", "gr": "ελ", "hk": "香港",
    "il": "ישראל", "iq": "عراق", "ir": "ایران", "jo": "الاردن", "kr": "한국", "kz": "қаз",
    "in": "भारत ভারত ভাৰত ਭਾਰਤ ભારત இந்தியா భారత్ ಭಾರತ ഭാരതം ଭାରତ भारतम् भारोत بھارت ڀارت بارت",
    "la": "ລາວ", "lk": "ලංකා இலங்கை", "ma": "المغرب", "mk": "мкд", "mn": "мон", "mo": "澳門",
    "mr": "موريتانيا", "my": "مليسيا", "om": "عمان", "pk": "پاکستان", "ps": "فلسطين", "qa": "قطر",
    "rs": "срб", "ru": "рф", "sa": "السعودية", "sd": "سودان", "sg": "新加坡 சிங்கப்பூர்",
    "sy": "سورية", "th": "ไทย", "tn": "تونس", "tw": "台湾 台灣", "ua": "укр", "ye": "اليمن",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Country:
    """A row of the table. accepted: continents a record may give it. names: others than `name`."""

    code: str
    name: str
    continent: str
    accepted: frozenset[str]
    alpha3: str
    names: tuple[str, ...]


@cache
def countries() -> dict[str, Country]:
    """The table, by code."""
    text = (files("geo_nemo.metadata") / "countries.csv").read_text(encoding="utf-8")
    return {
        row["code"]: Country(
            code=row["code"],
            name=row["name"],
            continent=row["continent"],
            accepted=frozenset(filter(None, (row["continent"], row["also_accepted"]))),
            alpha3=row["alpha3"],
            names=tuple(filter(None, row["names"].split("|"))),
        )
        for row in csv.DictReader(text.splitlines())
    }


def country_code(value: str) -> str | None:
    """`value` as a code of the table, or None: ` GB `, `uk`, `GBR` and `Great Britain` are `gb`."""
    code = value.strip().lower()
    code = _CODE_ALIASES.get(code, code)
    if code in countries():
        return code
    found = _by_name().get(_name_key(value))
    return found if found or len(value) > _LONGEST else _by_other_form(value)


def _by_other_form(value: str) -> str | None:
    """By a flag; by a name that is turned round or shortened, or has words in brackets."""
    flag = [ord(char) - _FLAG_A for char in value.strip()]
    if len(flag) == 2 and all(0 <= place < 26 for place in flag):
        return country_code("".join(chr(ord("a") + place) for place in flag))
    value = _BRACKETS.sub(r", \1", value)
    for short, whole in _SHORT.items():
        value = re.sub(rf"\b{short}(?:\.|\b)", whole, value, flags=re.IGNORECASE)
    turned = " ".join(reversed(value.split(",", 1)))
    return _by_words().get(_words(value)) or _by_words().get(_words(turned))


def _words(name: str) -> str:
    """A name's key without the words that some leave out."""
    words = _name_key(name).split()
    return " ".join(word for word in words if word not in ("of", "the", "and"))


@cache
def _by_words() -> dict[str, str]:
    """Of names that are no country's without `of`, `the` and `and`, none."""
    found: dict[str, set[str]] = {}
    for name, code in _by_name().items():
        if not _words(name):
            continue
        found.setdefault(_words(name), set()).add(code)
    return {name: codes.pop() for name, codes in found.items() if len(codes) == 1}


def continent_name(value: str) -> str | None:
    """`value` as one of CONTINENTS, or None: `South America` is `America`."""
    name = " ".join(value.split()).casefold()
    return _CONTINENT_ALIASES.get(name) or _by_folded_name().get(name)


def continent_of(code: str) -> str:
    """The continent of a country of the table, UNKNOWN of UNKNOWN. KeyError for another code."""
    return UNKNOWN if code == UNKNOWN else countries()[code].continent


def national_country(host: str) -> str | None:
    """The country whose national domain `host` (lower case, ASCII) ends in, or None.

    None for generic domains (`.com`), for national domains in generic use (`.io`, but not
    `.com.co`) and for addresses.
    """
    front, _, code = host.rpartition(".")
    _, below, kind = front.rpartition(".")
    if below and f"{kind}.{code}" in _KEPT:
        return code if code in countries() else None
    return _by_domain().get(code)


def likely_country(host: str) -> str | None:
    """`us` for a host of United States bodies, which yields to any other evidence; else None."""
    return "us" if host.rpartition(".")[2] in UNITED_STATES_BODIES else None


def _name_key(name: str) -> str:
    """A name of a country without case, accents, signs and a leading article."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = plain.replace("&", " and ").replace("st.", "saint").replace(".", "")
    return " ".join(_LETTERS.findall(plain)).removeprefix("the ")


@cache
def _by_name() -> dict[str, str]:
    found = {}
    for country in countries().values():
        for name in (country.alpha3, country.name, *country.names):
            # `Korea, Republic of` is `Republic of Korea`, too.
            for form in (name, " ".join(reversed(name.split(", ", 1)))):
                found[_name_key(form)] = country.code
    return found


@cache
def _by_folded_name() -> dict[str, str]:
    return {name.casefold(): name for name in CONTINENTS}


@cache
def _by_domain() -> dict[str, str]:
    domains = {code: code for code in countries() if code not in GENERIC_DOMAINS and code != "xk"}
    domains["uk"] = "gb"
    for code, names in _IDN_DOMAINS.items():
        domains |= {name.encode("idna").decode(): code for name in names.split()}
    return domains
