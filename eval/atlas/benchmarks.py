"""Rows of geographic benchmarks in their released schemas, as questions of ours.

Each class names where its schema is from. `rows` gives what `eval.question_schemas.question_of`
reads; what is wrong with a row is told there, and counted. A path is a file, or a folder of them.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from eval.question_rows import rows_of
from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError
from geo_nemo.metadata.geography import country_code

ENDINGS = (".parquet", ".jsonl", ".csv", ".tsv")
# Splits that are for examples or for choices, by a word of their files' names.
_OTHER_SPLITS = re.compile(r"(^|[^a-z])(dev|train|validation|val|hard|aug)([^a-z]|$)")
Row = Mapping[str, Any]


class Benchmark:
    """Questions of a benchmark. files: what a file or a folder of it is named, folded.

    source: where the schema is from. columns: those that a row must have.
    """

    files: tuple[str, ...] = ()
    source = ""
    columns: tuple[str, ...] = ()

    def __init__(self, path: Path | None):
        if path is None:
            raise UserError("give its file, or a folder of them, as questions=PATH")
        self.path = path

    def rows(self) -> Iterator[Any]:
        """A mapping each question; text where a line of a file was none."""
        for path in question_paths(self.path):
            for number, row in enumerate(rows_of(path)):
                if not isinstance(row, Mapping):
                    yield row
                    continue
                if number == 0 and (missing := [c for c in self.columns if c not in row]):
                    raise UserError(
                        f"{path} has no column {missing[0]}: {type(self).__name__} has "
                        f"{', '.join(self.columns)}"
                    )
                try:
                    yield from list(self.questions(row, f"{path.stem}/{number}"))
                except (ValueError, TypeError, KeyError):
                    yield "a cell that cannot be read"

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        """Of a row of the file. place: its id, where it has none."""
        raise NotImplementedError


def question_paths(path: Path) -> list[Path]:
    """The file, or those under a folder that are of no other split than the test's."""
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix in ENDINGS and p.is_file())
    kept = [p for p in found if not _OTHER_SPLITS.search(p.stem.lower())]
    if not kept:
        raise UserError(f"{path} has no test file of {', '.join(ENDINGS)}")
    return kept


class GlobalMmlu(Benchmark):
    """What is culturally sensitive and what is not are kinds of their own."""

    files = ("globalmmlu",)
    source = "huggingface.co/datasets/CohereForAI/Global-MMLU, arXiv 2412.03304"
    columns = ("question", "option_a", "option_b", "option_c", "option_d", "answer",
               "cultural_sensitivity_label")  # fmt: skip
    kinds: ClassVar = {"CS": "culturally sensitive", "CA": "culturally agnostic"}

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        label = str(row["cultural_sensitivity_label"] or "").strip()
        yield {
            "id": f"{place}/{row.get('sample_id', '')}",
            "kind": self.kinds.get(label, "not annotated"),
            "country": first_country(row.get("country")), "prompt": row["question"],
            "options": [row[f"option_{letter}"] for letter in "abcd"],
            "answer": lettered(row["answer"]),
            # The same question in each language.
            "unit": row.get("sample_id"),
        }  # fmt: skip


class Blend(Benchmark):
    """Multiple-choice questions; options and their countries are JSON in a cell."""

    files = ("blend", "mcquestions")
    source = "huggingface.co/datasets/nayeon212/BLEnD (multiple-choice-questions), arXiv 2406.09948"
    columns = ("MCQID", "country", "prompt", "choices", "answer_idx")
    # Regions that it asks about, and the countries that they are in.
    regions: ClassVar = {"west java": "id", "northern nigeria": "ng", "assam": "in"}

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        choices = row["choices"]
        options = parse_json(choices) if isinstance(choices, str) else choices
        letters = "ABCD"
        if isinstance(options, Mapping):
            letters = sorted(each for each in options if options[each] is not None)
        named = str(row["country"]).replace("_", " ").strip()
        # Behind the question stand an instruction and the options.
        asked = before(str(row["prompt"]), "?")
        yield {
            "id": row["MCQID"], "kind": "everyday life",
            "country": self.regions.get(named.lower(), named),
            "prompt": asked, "options": options,
            "answer": lettered(row["answer_idx"], letters),
            # Each question stands among many other options.
            "unit": f"{named}/{asked}",
        }  # fmt: skip


class CulturalBench(Benchmark):
    """CulturalBench-Easy; the hard one asks of each option whether it is true."""

    files = ("culturalbench",)
    source = "huggingface.co/datasets/kellycyy/CulturalBench (Easy), arXiv 2410.02677"
    columns = ("prompt_question", "prompt_option_a", "prompt_option_b", "prompt_option_c",
               "prompt_option_d", "answer", "country")  # fmt: skip

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        yield {
            "id": str(row.get("question_idx", row.get("data_idx", place))), "kind": "culture",
            "country": row["country"], "prompt": str(row["prompt_question"]).strip(),
            "options": [row[f"prompt_option_{letter}"] for letter in "abcd"],
            "answer": lettered(row["answer"]),
        }  # fmt: skip


class Include(Benchmark):
    """Exam questions in 44 languages; what depends on a region is a kind of its own."""

    files = ("include",)
    source = "huggingface.co/datasets/CohereForAI/include-base-44, arXiv 2411.19799"
    columns = ("country", "regional_feature", "question", "option_a", "option_b", "option_c",
               "option_d", "answer")  # fmt: skip

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        agnostic = "agnostic" in str(row["regional_feature"]).lower()
        answer = row["answer"]
        yield {
            "id": f"{row.get('language', '')}/{place}",
            "kind": "region agnostic" if agnostic else "regional",
            "country": row["country"], "prompt": str(row["question"]).strip(),
            "options": [row[f"option_{letter}"] for letter in "abcd"],
            # A number of an option, in CSV as text; so that an option that is a number is none.
            "answer": int(answer) if str(answer).strip().isdigit() else answer,
        }  # fmt: skip


class GeoMlama(Benchmark):
    """Everyday knowledge of five countries. Where several answers are right, each is asked for
    among the wrong ones.
    """

    files = ("geomlama", "gdprompt")
    source = "github.com/WadeYin9712/GeoMLAMA (gd_prompt_en.tsv), arXiv 2205.12247"
    columns = ("Prompt", "Corresponding Questions", "Ans", "Candidate Ans")
    countries: ClassVar = {
        r"United States|Untied States|America": "us", r"China|Chinese": "cn", r"India": "in",
        r"Iran": "ir", r"Kenya": "ke",
    }  # fmt: skip

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        if not any(row.values()):
            return  # it separates a topic from the next
        asked = f"{row['Corresponding Questions']} {row['Prompt']}"
        country = next((c for p, c in self.countries.items() if re.search(p, asked)), None)
        if country is None:
            yield "no country in the question"
            return
        right, options = (cells(row[name]) for name in ("Ans", "Candidate Ans"))
        if missing := [each for each in right if each not in options]:
            yield f"the right answer is no option{'' if len(missing) < len(right) else ' at all'}"
            return
        wrong = [each for each in options if each not in right]
        for number, answer in enumerate(right):
            yield {
                "id": f"{place}/{number}", "kind": "everyday life", "country": country,
                "prompt": row["Corresponding Questions"], "options": [answer, *wrong], "answer": 0,
                "unit": place,
            }  # fmt: skip


class GlobalOpinionQa(Benchmark):
    """Surveys: a question for each country that was asked, whose right answer is what most said.

    What a model spreads over the options is not compared with what people did.
    """

    files = ("globalopinion", "llmglobalopinion")
    source = "huggingface.co/datasets/Anthropic/llm_global_opinions, arXiv 2306.16388"
    columns = ("question", "selections", "options")
    # As its surveys write them.
    names: ClassVar = {"Britain": "gb", "S. Korea": "kr", "S. Africa": "za", "Czech Rep.": "cz",
                       "Pal. ter.": "ps", "Palest. ter.": "ps"}  # fmt: skip
    national = " (Current national sample)"

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        try:
            options, selections = literal(row["options"]), literal(row["selections"])
        except (ValueError, SyntaxError):
            yield "options or selections are no list"
            return
        if not isinstance(selections, Mapping) or not isinstance(options, list | tuple):
            yield "options or selections are no list"
            return
        options = [str(option) for option in options]
        for country, portions in selections.items():
            named = str(country).removesuffix(self.national)
            if len(portions) != len(options):
                yield "not a portion for each option"
                continue
            yield {
                "id": f"{place}/{country}", "kind": "opinion of most",
                "country": self.names.get(named, named), "prompt": row["question"],
                "options": options, "answer": max(range(len(options)), key=lambda n: portions[n]),
                # It is put to every country alike.
                "unit": place,
            }  # fmt: skip


class LocalNewsQa(Benchmark):
    """As it was released; its columns are among those that every file may have."""

    files = ("localnewsqa",)
    source = "LocalNewsQA, arXiv 2601.15236"
    columns = ("question", "options", "correct_answer", "country", "split_type")

    def questions(self, row: Row, place: str) -> Iterator[Any]:
        yield row


def first_country(value: Any) -> str:
    """The first country of a cell that names one or several; empty for none that is known."""
    text = str(value or "").strip(" []'\"")
    first = re.split(r"['\"]?\s*[,;]\s*['\"]?", text)[0]
    for name in (first, re.sub(r"\s*\(.*", "", first)):
        if name and (code := country_code(name)):
            return code
    return ""


def lettered(answer: Any, letters: Sequence[str] = "ABCD") -> Any:
    """The number of the option that a letter stands for; what is no letter as it is.

    So the letter B is not taken for an option whose text is B, as of a question about blood types.
    """
    letter = str(answer).strip().upper()
    return list(letters).index(letter) if letter in list(letters) else answer


def before(text: str, mark: str) -> str:
    """Up to the first `mark` and with it; the first line where there is none."""
    start, found, _ = text.partition(mark)
    return start + found if found else text.partition("\n")[0]


def cells(value: Any) -> list[str]:
    """`a, b` as a list."""
    return [part.strip() for part in str(value or "").split(",") if part.strip()]


def literal(value: Any) -> Any:
    """A list or a dictionary, or the text of one, as Python writes it; no code runs."""
    if not isinstance(value, str):
        return value
    inside = re.fullmatch(r"defaultdict\(<class 'list'>,\s*(.*)\)", value.strip(), re.DOTALL)
    return ast.literal_eval(inside.group(1) if inside else value)
