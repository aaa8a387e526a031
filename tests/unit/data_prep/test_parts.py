"""Parts: what is written is read, row group by row group; a damaged one is the user's to know."""

import pytest

from data_prep.document import MASK_COUNTS, Document
from data_prep.parts import ROW_GROUP_BYTES, ROW_GROUP_DOCUMENTS, PartWriter, read_part, read_rows
from geo_nemo.common.errors import UserError

TEXTS = ["plain", "naïve 東京 😀", "x\n" * 3]


def document(number: int) -> Document:
    values = {"confidence": 0.5, "language_score": 0.0, "year": 2024, "quality": 50}
    values |= dict.fromkeys(MASK_COUNTS.values(), 3)
    names = Document.__dataclass_fields__
    texts = {"id": str(number), "text": TEXTS[number % 3], "hash": number.to_bytes(16, "big")}
    return Document(**{name: "x" for name in names} | values | texts)


def write(folder, count, max_documents=1 << 20):
    writer = PartWriter(folder, max_documents)
    for number in range(count):
        writer.add(document(number))
    return writer.close()


def test_documents_come_back_in_order_a_row_group_at_a_time(tmp_path):
    count = ROW_GROUP_DOCUMENTS + 5
    (part,) = write(tmp_path, count)
    # All batches at once: what was read earlier must not change when more is.
    batches = list(read_part(part.path, ["id", "text", "hash", "year"]))
    assert [len(batch) for batch in batches] == [ROW_GROUP_DOCUMENTS, 5]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert rows == [
        {"id": str(n), "text": TEXTS[n % 3], "hash": n.to_bytes(16, "big"), "year": 2024}
        for n in range(count)
    ]


def test_parts_hold_so_many_documents_and_know_the_bytes_of_their_texts(tmp_path):
    parts = write(tmp_path, 7, max_documents=3)
    assert [part.documents for part in parts] == [3, 3, 1]
    each = sum(len(text.encode()) for text in TEXTS)
    assert [part.text_bytes for part in parts] == [each, each, len(TEXTS[0])]


def test_documents_may_change_until_they_are_read(tmp_path):
    added = [document(number) for number in range(3)]
    writer = PartWriter(tmp_path, 2, lambda: [setattr(each, "quality", 7) for each in added])
    for each in added:
        each.quality = -1  # which no column holds
        writer.add(each)
    found = [row for part in writer.close() for row in read_part(part.path, ["quality"])]
    assert [row["quality"] for batch in found for row in batch.to_pylist()] == [7, 7, 7]


def test_some_documents_are_read_by_their_numbers_with_their_counts(tmp_path):
    (part,) = write(tmp_path, ROW_GROUP_DOCUMENTS + 5)
    rows = [ROW_GROUP_DOCUMENTS + 4, 1, 0]
    found = read_rows(part.path, rows, ["id", "text_bytes", "characters", "gaps"])
    assert found == [
        {
            "id": str(row),
            "text_bytes": len(TEXTS[row % 3].encode()),
            "characters": len(TEXTS[row % 3]),
            "gaps": 3,
        }
        for row in rows
    ]


@pytest.mark.parametrize("kept", [0, 3, 500])
def test_a_part_that_is_cut_short_is_the_user_s_to_know(tmp_path, kept):
    (part,) = write(tmp_path, 9)
    part.path.write_bytes(part.path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"part-00000.parquet is damaged .*: delete it and"):
        list(read_part(part.path))


def test_a_part_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"part.parquet is missing: repeat geo-nemo prep run"):
        list(read_part(tmp_path / "part.parquet"))


def test_long_titles_do_not_wait_in_memory(tmp_path):
    writer = PartWriter(tmp_path, 100)
    for number in range(4):
        long = document(number)
        long.title = "x" * (ROW_GROUP_BYTES // 2 + 1)
        writer.add(long)
        assert len(writer._added) < 3
    assert [part.documents for part in writer.close()] == [4]
