"""A preparation in which the example package's filter, reader and tokenizer had a part."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.data_prep.worlds import records
from tests.unit.plugins.outside import geo_nemo, train

MESSAGE = "From a@b.org Thu Jan  1 00:00:00 2024\nMessage-ID: {id}\nSubject: {title}\n\n{text}\n"


def mbox(folder, count=60):
    """The records of `list.mbox`, which is written: one shouts, and a message more has parts."""
    rows = [
        {**record, "text": record["text"] + "\n-- sent from my phone"} for record in records(count)
    ]
    rows[3]["text"] = "ALL OF THIS IS IN CAPITALS"
    text = "".join(MESSAGE.format(**row) for row in rows)
    text += MESSAGE.replace(
        "\n\n", "\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n"
    ).format(id="m", title="t", text="part")
    (folder / "list.mbox").write_text(text)
    return rows


class Prepared(NamedTuple):
    """folder: of the output. shown: what the command printed. rows: of the input."""

    folder: Path
    settings: tuple[str, ...]
    shown: str
    rows: list[dict]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    rows = mbox(folder)
    (folder / "names.txt").write_text("<s> </s>")
    source = f"{folder}/list.mbox, format: mbox, options: {{base: 'https://bbc.co.uk/'}}"
    settings = (
        f"input=[{{path: {source}}}]", f"output={folder}/out", "execution.workers=2",
        f"tokenizer.path={folder}/names.txt", "tokenizer.kind=bytes", "clean.rules=[shouting]",
        "clean.options={shouting: {most: 0.6}}", "splits={train: 0.8, validation: 0, test: 0.2}",
    )  # fmt: skip
    code, shown, errors = geo_nemo("prep", "run", *settings)
    assert code == 0, errors
    return Prepared(folder / "out", settings, shown, rows)


class Trained(NamedTuple):
    """A run over the store of a preparation, and its settings."""

    run: Path
    store: Path
    settings: tuple[str, ...]


@pytest.fixture(scope="session")
def trained(prepared, tmp_path_factory):
    run = tmp_path_factory.mktemp("trained") / "run"
    settings = (
        "data.packing=next_fit", "data.index_workers=1", "data.packing_window=16",
        "stages.condition.sampling={sampler: oldest_first}",
    )  # fmt: skip
    code, errors = train(prepared.folder / "store", run, *settings)
    assert code == 0, errors
    return Trained(run, prepared.folder / "store", settings)
