"""Made-up documents for the tests of splits."""

import numpy as np

from data_prep.splits.rules import INDEX, Rows

HASHES = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)


def rows(countries, units=None, contents=None, homes=None, years=None) -> Rows:
    """Documents of these countries; each a unit of its own where no units are given."""
    number = len(countries)
    contents = HASHES[:number] if contents is None else np.array(contents, np.uint64)
    country = np.array([INDEX[c] for c in countries], np.uint8)
    home = country if homes is None else np.array([INDEX[c] for c in homes], np.uint8)
    return Rows(
        unit=contents if units is None else np.array(units, np.uint64),
        country=country,
        home=home,
        content=contents,
        year=np.array(years if years is not None else [0] * number, np.int16),
    )


def chunked(all_rows: Rows, size: int) -> list[Rows]:
    """The same documents, `size` at a time."""
    return [take(all_rows, slice(i, i + size)) for i in range(0, len(all_rows), size)]


def take(of: Rows, at) -> Rows:
    """Some of the documents, by index or slice."""
    return Rows(of.unit[at], of.country[at], of.home[at], of.content[at], of.year[at])
