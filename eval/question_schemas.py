"""One question, and how rows of various files become one: ours, LocalNewsQA's, any by a field map.

A row is a mapping of names to values. Where the map names no column of the file for a thing, the
first of `KNOWN` that the row has serves. A row that is no question raises ValueError: why not.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from geo_nemo.metadata.geography import continent_name, continent_of, countries, country_code
from geo_nemo.metadata.record import MetadataRecord

Text = Annotated[str, Field(min_length=1)]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Question(BaseModel):
    """A question with options; keys that are not listed are ignored.

    kind: `local` when the right answer depends on the country, `shared` when it does not; a file of
        others has kinds of its own, as `explicit` and `ambiguous`.
    host: null where a question has no outlet; then no URL line is shown.
    answer: number of the right option. contrast: of the one that is right in `contrast_country`.
    unit: what is asked; questions of one unit are one thing in other words, and go together in
        every interval. A model does not read it, so it is in no key of the cache.
    """

    id: Text
    kind: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]*$", max_length=60)]
    country: str
    continent: str
    host: str | None = None
    title: str | None = None
    prompt: Text
    options: Annotated[tuple[Text, ...], Field(min_length=2, max_length=26)]
    answer: Annotated[int, Field(ge=0)]
    contrast: int | None = None
    contrast_country: str | None = None
    unit: Annotated[str | None, Field(exclude=True)] = None

    @model_validator(mode="after")
    def _answerable(self):
        if self.answer >= len(self.options):
            raise ValueError("answer is not the number of an option")
        if len({_folded(option) for option in self.options}) != len(self.options):
            raise ValueError("an option stands twice")
        return self

    @property
    def record(self) -> MetadataRecord:
        return MetadataRecord(self.host or "", self.country, self.continent)

    @property
    def contrast_record(self) -> MetadataRecord | None:
        """Metadata of the other country, where the question has one whose answer is an option."""
        if self.contrast is None or not self.contrast_country:
            return None
        return MetadataRecord("", self.contrast_country, continent_of(self.contrast_country))


# Columns of files in use, by what a question needs of them; the first that is there serves.
KNOWN: dict[str, tuple[str, ...]] = {
    "id": ("id", "question_id", "qid"),
    "kind": ("kind", "split_type"),
    "country": ("country", "target_country", "country_code", "cc"),
    "continent": ("continent",),
    "host": ("host",),
    "title": ("title",),
    "prompt": ("prompt", "question", "query"),
    "options": ("options", "choices"),
    "answer": ("answer", "correct_answer", "correct_option", "gold", "label", "answer_idx"),
    "contrast": ("contrast_answer",),
    "contrast_country": ("contrast_country",),
    "unit": ("unit",),
}
# Options that stand in columns of their own.
APART = (
    "option_{}", "Option {}", "choice_{}", "{}", "option{}",
)  # fmt: skip


def question_of(row: Mapping[str, Any], names: Mapping[str, Any], place: int) -> Question:
    """The question of a row. names: what a question needs -> column, or columns of the options.

    place: of the row in its file, its id where it has none. ValidationError or ValueError: why not.
    """
    found = {thing: _value(row, names, thing) for thing in KNOWN if thing != "options"}
    options = _options(row, names)
    answer = _answer(_by_number(row, names, found["answer"]), options)
    country = country_of(found["country"])
    other = found["contrast_country"]
    contrast = _position(found["contrast"], options) if found["contrast"] else None
    return Question(
        id=str(found["id"] if found["id"] is not None else f"row {place}"),
        kind=found["kind"] or "local",
        country=country,
        continent=_continent(found["continent"], country),
        host=found["host"] or None,
        title=found["title"] or None,
        prompt="" if found["prompt"] is None else str(found["prompt"]),
        options=options,
        answer=answer,
        contrast=contrast if contrast != answer else None,
        contrast_country=country_of(other) if other else None,
        unit=None if found["unit"] in (None, "") else str(found["unit"]),
    )


def _value(row: Mapping[str, Any], names: Mapping[str, Any], thing: str) -> Any:
    if thing in names:
        if names[thing] not in row:
            raise ValueError(f"no column {names[thing]}, which the field map names for {thing}")
        return row[names[thing]]
    return next((row[name] for name in KNOWN[thing] if row.get(name) is not None), None)


def _options(row: Mapping[str, Any], names: Mapping[str, Any]) -> tuple[str, ...]:
    given = names.get("options")
    if isinstance(given, Sequence) and not isinstance(given, str):
        if missing := [name for name in given if name not in row]:
            raise ValueError(f"no column {missing[0]}, which the field map names for options")
        return _texts(row[name] for name in given)
    found = _value(row, names, "options")
    if isinstance(found, Mapping):
        # Letter -> text; of Arrow, whose rows have every letter, those that this one has.
        return _texts(found[key] for key in sorted(found) if found[key] is not None)
    if isinstance(found, Sequence) and not isinstance(found, str):
        return _texts(found)
    if found is not None:
        raise ValueError("options are one text: give a list, or their columns by the field map")
    for pattern in APART:
        for letters in (LETTERS, LETTERS.lower(), range(1, 27)):
            columns = [pattern.format(letter) for letter in letters]
            there = [name for name in columns if row.get(name) not in (None, "")]
            if len(there) >= 2:
                return _texts(row[name] for name in there)
    raise ValueError("no options: name their columns by the field map")


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(str(value).strip() for value in values)


def _by_number(row: Mapping[str, Any], names: Mapping[str, Any], given: Any) -> Any:
    """The answer; as a number where a table has one as text under a name that says number.

    So a 1 is the second option, as it is in JSON, also where an option's text is 1.
    """
    usual = next((name for name in KNOWN["answer"] if row.get(name) is not None), "")
    is_number = names.get("answer", usual) == "answer_idx" and str(given).strip().isdecimal()
    return int(given) if is_number else given


def _answer(given: Any, options: Sequence[str]) -> int:
    """The number of the right option, of its text, its letter or its number."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != 1:
            raise ValueError(f"{'several' if given else 'no'} right answers")
        given = given[0]
    if given is None or given == "":
        raise ValueError("no right answer")
    if isinstance(given, bool):
        raise ValueError("the right answer is no option")
    if isinstance(given, int):
        if not 0 <= given < len(options):
            raise ValueError("answer is not the number of an option")
        return given
    text = str(given).strip()
    place = _position(text, options)
    if place is not None:
        return place
    if len(text) == 1 and text.upper() in LETTERS[: len(options)]:
        return LETTERS.index(text.upper())
    if text.isdigit() and int(text) < len(options):
        return int(text)
    raise ValueError("the right answer is no option")


def _position(text: str, options: Sequence[str]) -> int | None:
    folded = [_folded(option) for option in options]
    return folded.index(_folded(text)) if _folded(text) in folded else None


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def country_of(value: Any) -> str:
    """The code of a country that is a code or an English name; empty for none. ValueError."""
    if not value:
        return ""
    code = country_code(str(value)) or _by_name().get(_folded(str(value)))
    if code is None:
        raise ValueError("a country that is not known")
    return code


def _continent(value: Any, country: str) -> str:
    named = continent_name(str(value)) if value else None
    return named or (continent_of(country) if country else "")


@cache
def _by_name() -> dict[str, str]:
    return {country.name.casefold(): code for code, country in countries().items()}
