"""Generated rows of benchmarks in the schemas that they were released in, and files of them."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

LETTERS = "ABCD"


def parquet(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def delimited(path: Path, rows: list[dict], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def global_mmlu(n: int) -> dict:
    return {
        "sample_id": f"abstract_algebra/test/{n}", "subject": "history",
        "subject_category": "Humanities", "question": f"Who ruled in year {n}?",
        "option_a": f"Ann {n}", "option_b": "Ben", "option_c": "Cy", "option_d": "Di",
        "answer": LETTERS[n % 4], "required_knowledge": "[]", "time_sensitive": "[]",
        "reference": "[]", "culture": "[]", "region": "[]",
        "country": "['United Kingdom', 'Ireland']" if n % 3 == 0 else "[]",
        "cultural_sensitivity_label": ("CS", "CA", "-")[n % 3], "is_annotated": n % 3 < 2,
    }  # fmt: skip


def blend(n: int) -> dict:
    country = ("UK", "South_Korea", "West_Java", "Northern_Nigeria")[n % 4]
    options = {"A": f"tea {n}", "B": "rice", "C": "bread", "D": "fish"}
    asked = f"What do children eat at school in {country}?"
    return {
        "MCQID": f"Al-en-06_{n}", "ID": "Al-en-06", "country": country,
        "prompt": f"{asked} Without any explanation, choose only one.\n\nA. tea {n}\nB. rice",
        "choices": json.dumps(options),
        "choice_countries": json.dumps(dict.fromkeys(options, "UK")),
        "answer_idx": LETTERS[n % 4],
    }  # fmt: skip


def culturalbench(n: int) -> dict:
    return {
        "data_idx": n, "question_idx": n, "country": ("Zimbabwe", "Czech Republic")[n % 2],
        "prompt_question": f"What is worn on day {n}?", "prompt_option_a": f"a hat {n}",
        "prompt_option_b": "a coat", "prompt_option_c": "a scarf", "prompt_option_d": "gloves",
        "answer": LETTERS[n % 4],
    }  # fmt: skip


def include(n: int) -> dict:
    return {
        "language": "Greek", "country": "Greece", "domain": "STEM", "subject": "History",
        "regional_feature": ("region explicit", "agnostic", "culture")[n % 3], "level": "Academic",
        "question": f"Question {n}?", "option_a": "0", "option_b": "1", "option_c": "2",
        "option_d": f"{n + 3}", "answer": n % 4,
    }  # fmt: skip


GEOMLAMA_HEAD = ("Prompt", "Corresponding Questions", "Ans", "Candidate Ans", "Context")


def geomlama(n: int) -> dict:
    place, people = (("China", "Chinese"), ("Kenya", "Kenyan"))[n % 2]
    right = ("tea", "tea, milk")[n // 2 % 2]
    cells = (f"{people} people drink <mask>.", f"What do {people} people in {place} drink? {n}",
             right, "tea, milk, beer, water", "drink")  # fmt: skip
    return dict(zip(GEOMLAMA_HEAD, cells, strict=True))


def globalopinionqa(n: int) -> dict:
    portions = {"Britain": [0.1, 0.7, 0.2], "Kenya": [0.5, 0.3, 0.2],
                "India (Current national sample)": [0.2, 0.2, 0.6],
                "India (Non-national sample)": [1, 0, 0], "Jordan": [0.4, 0.6]}  # fmt: skip
    return {
        "question": f"Is it good or bad? {n}",
        "selections": f"defaultdict(<class 'list'>, {portions!r})",
        "options": "['Good', 'Bad', 'DK/Refused']", "source": "GAS",
    }  # fmt: skip


def factbook(folder: Path) -> Path:
    chapters = [
        ("ke", "Area:\ntotal: 580,367 sq km\nland: 569,140 sq km\nCoastline: 536 km"),
        ("ke", "Population:\ntotal: 55,751,717 (2025 est.)\nMedian age:\ntotal: 21.5 years"),
        ("ke", "Population:\ntotal: 1 (2020 est.)"),
        ("gb", "Urbanization:\nurban population: 84.6% of total population (2023)"),
        ("va", "Coastline: 0 km (landlocked)"),
    ]
    path = folder / "factbook.jsonl.gz"
    lines = [json.dumps({"country": c, "title": "x", "text": text}) for c, text in chapters]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def localnewsqa(n: int) -> dict:
    return {
        "question": f"Who leads in {n}?", "options": [f"Ann {n}", "Ben", "Cy", "Di"],
        "correct_answer": "Ben", "country": "Hong Kong", "split_type": "explicit",
        "contrast_answer": "Cy", "contrast_country": "United Kingdom",
    }  # fmt: skip


def write_all(folder: Path, number: int = 12) -> Path:
    """Every benchmark, as a user might have put it there."""

    def rows(make):
        return [make(n) for n in range(number)]

    parquet(folder / "Global-MMLU" / "en" / "test-00000.parquet", rows(global_mmlu))
    parquet(folder / "Global-MMLU" / "en" / "dev-00000.parquet", rows(localnewsqa))
    delimited(folder / "BLEnD" / "mc_questions_file.csv", rows(blend))
    parquet(folder / "CulturalBench-Easy.parquet", rows(culturalbench))
    parquet(folder / "include-base-44" / "Greek" / "test.parquet", rows(include))
    empty = dict.fromkeys(GEOMLAMA_HEAD, "")
    delimited(folder / "gd_prompt_en.tsv", [*rows(geomlama), empty], "\t")
    delimited(folder / "global_opinions.csv", rows(globalopinionqa))
    parquet(folder / "localnewsqa.parquet", rows(localnewsqa))
    factbook(folder)
    return folder
