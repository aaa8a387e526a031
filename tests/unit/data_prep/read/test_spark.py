"""Files that Apache Spark wrote (tests/fixtures/spark/make.py), and fields in names of folders."""

from pathlib import Path

import pytest

from data_prep.annotate.dates import find_date
from data_prep.config import Limits, Source
from data_prep.extra_fields import partition_fields
from data_prep.read import list_inputs, open_reader
from data_prep.read.record import Raw

SPARK = Path(__file__).parents[3] / "fixtures" / "spark"


def fields_of(source: Source) -> list[dict]:
    """Fields of the records in a folder, by id; nothing in it may be refused."""
    found = []
    for file in list_inputs([source]):
        records = list(open_reader(file, Limits()))
        assert records and all(isinstance(record, Raw) for record in records), file.path
        found += [partition_fields(file.path, source) | record.fields for record in records]
    return sorted(found, key=lambda fields: str(fields["id"]))


@pytest.mark.parametrize("folder", ["default", "legacy", "csv", "by_country"])
def test_folders_of_spark_are_read_without_its_marks_and_checksums(folder):
    first, second = fields_of(Source(path=str(SPARK / folder)))
    assert [str(first["id"]), str(second["id"])] == ["1", "2"]
    assert first["url"] == "https://example.com/news/1"
    assert first["text"].endswith("the river. 1") and second["text"].endswith("the river. 2")
    assert (first["country"], second["country"]) == ("ke", "gh")
    assert [find_date(f["date"])[0] for f in (first, second)] == ["2024-05-01", "2024-05-02"]


@pytest.mark.parametrize(
    ("given", "path", "found"),
    [
        ("/d", "/d/country=ke/a.parquet", {"country": "ke"}),
        ("/d/", "/d/Country=c%C3%B4te/date=2024/a", {"country": "c\u00f4te", "date": "2024"}),
        ("/d/*/x", "/d/country=ke/x", {"country": "ke"}),
        ("/d", "/d/country=__HIVE_DEFAULT_PARTITION__/a", {}),
        ("/country=ke/d", "/country=ke/d/a", {}),
        ("/d", "/d/country=/a", {}),
        ("/d", "/d/other=1/country=ke.csv", {}),
        ("s3://b/d", "s3://b/d/country=tz/a", {"country": "tz"}),
    ],
)  # fmt: skip
def test_fields_stand_in_folders_below_the_source_alone(given, path, found):
    assert partition_fields(path, Source(path=given)) == found


def test_a_column_of_another_name_may_stand_in_a_folder():
    source = Source(path="/d", fields={"country": "nation", "extra": {"topic": "section"}})
    found = partition_fields("/d/nation=ke/section=sport/a", source)
    assert found == {"country": "ke", "extra.topic": "sport"}
