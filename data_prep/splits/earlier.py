"""What earlier runs have decided, so that a document keeps its split when data grow.

    <output>/splits/settled.json   how the splits were made, and thresholds
    <output>/splits/settled.npz    what is test and validation, and what is neither

A run into the same output, and one that names it in `dedup.against`, starts from there, as long as
`splits` and `seed` are the same. What was test or validation stays so; what was train is not drawn
again. New documents fill up what quotas leave open.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_prep.config import Prep
from data_prep.splits.draws import ALL
from geo_nemo.common.digests import file_digest
from geo_nemo.common.errors import UserError

FOLDER = "splits"
JSON_NAME, ARRAYS_NAME = "settled.json", "settled.npz"
_TEST, _VALIDATION, _SEEN = "test", "validation", "seen-"


def _none() -> np.ndarray:
    return np.empty(0, np.uint64)


@dataclass(frozen=True)
class Settled:
    """Decisions that stay; arrays are uint64 and sorted.

    test, validation: as in Rules. validation_limit: of Rules; None where nothing is settled.
    seen: by country, the lowest draws that are not test (by cluster); under ``, the hosts that were
        there (by host). known: by country, the draw up to which they are all that were there; all
        of them where it names none.
    totals, given: by country, documents and test documents of runs that this one does not hold.
    """

    test: np.ndarray = field(default_factory=_none)
    validation: np.ndarray = field(default_factory=_none)
    validation_limit: int | None = None
    seen: dict[str, np.ndarray] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)

    def seen_in(self, country: str) -> np.ndarray:
        return self.seen.get(country, _none())

    def known_in(self, country: str) -> int:
        return self.known.get(country, ALL)


NOTHING = Settled()


def settings_of(config: Prep) -> str:
    """What must be the same for decisions to stay."""
    return config.canonical("splits", "seed")


def settled_before(config: Prep) -> Settled:
    """What runs into this output, and those of `dedup.against`, have decided."""
    if not config.splits.stay:
        return NOTHING
    own = _read(Path(config.output), settings_of(config))
    others = [_read(Path(name), settings_of(config)) for name in config.dedup.against]
    return _joined(own, [other for other in others if other is not None])


def drawn_anew(config: Prep) -> str:
    """What to tell where earlier runs' decisions are not taken, as settings differ; else empty."""
    if not config.splits.stay:
        return ""
    now = _flat(orjson.loads(settings_of(config)))
    for name in (config.output, *config.dedup.against):
        try:
            about = orjson.loads((Path(name) / FOLDER / JSON_NAME).read_bytes())
            before = _flat(orjson.loads(about["settings"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # is not there, or `settled_before` says what is wrong with it
        other = [
            f"{key}={before.get(key)} (now {now[key]})"
            for key in now
            if now[key] != before.get(key)
        ]
        if other:
            return (
                f"splits are drawn anew: the run before, in {name}, had {', '.join(other)}. "
                "Documents may move between train and test; with the same settings none does"
            )
    return ""


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    own = {f"splits.{name}": value for name, value in settings["splits"].items()}
    return own | {"seed": settings["seed"]}


def against_key(config: Prep) -> str:
    """Changes with what the runs of `dedup.against` have decided."""
    if not config.splits.stay:
        return ""
    paths = [Path(name) / FOLDER / JSON_NAME for name in config.dedup.against]
    return " ".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())


def write(folder: Path, settled: Settled, settings: str, counts: Mapping[str, Any]) -> None:
    """Write the two files. counts: `totals` and `given` of this run, by country."""
    arrays = {_TEST: settled.test, _VALIDATION: settled.validation}
    arrays |= {f"{_SEEN}{name}": values for name, values in settled.seen.items()}
    np.savez(folder / ARRAYS_NAME, **arrays)
    limit = settled.validation_limit
    about = {
        "settings": settings,
        "validation_limit": None if limit is None else str(limit),
        "known": {name: str(draw) for name, draw in sorted(settled.known.items())},
        # So that what names this run in `dedup.against` sees every change here.
        "arrays": file_digest(folder / ARRAYS_NAME),
        **counts,
    }
    (folder / JSON_NAME).write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))


def _read(output: Path, settings: str) -> tuple[Settled, dict[str, Any]] | None:
    folder = output / FOLDER
    try:
        about = orjson.loads((folder / JSON_NAME).read_bytes())
        if about["settings"] != settings:
            return None
        with np.load(folder / ARRAYS_NAME, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        limit = about["validation_limit"]
        settled = Settled(
            test=found.pop(_TEST),
            validation=found.pop(_VALIDATION),
            validation_limit=None if limit is None else int(limit),
            seen={name.removeprefix(_SEEN): values for name, values in found.items()},
        )
        return replace(settled, known=_known(settled, about)), about
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is damaged ({error}): restore it, or remove it and the splits are drawn anew"
        ) from None


def _known(settled: Settled, about: Mapping[str, Any]) -> dict[str, int]:
    """`known` of what was written; of a run before it was, as little as there may have been."""
    if "known" in about:
        return {name: int(draw) for name, draw in about["known"].items()}
    held = {
        name: about["totals"].get(name, 0) - about["given"].get(name, 0) for name in settled.seen
    }
    return {
        name: int(values[-1])
        for name, values in settled.seen.items()
        if name and 0 < len(values) < held[name]
    }


def _joined(
    own: tuple[Settled, dict[str, Any]] | None, others: list[tuple[Settled, dict[str, Any]]]
) -> Settled:
    everything = [settled for settled, _ in ([own] if own else []) + others]
    if not everything:
        return NOTHING
    names = sorted({name for settled in everything for name in settled.seen})
    return Settled(
        test=_union(settled.test for settled in everything),
        validation=_union(settled.validation for settled in everything),
        validation_limit=everything[0].validation_limit,
        seen={name: _union(s.seen_in(name) for s in everything) for name in names},
        known={
            name: min(settled.known_in(name) for settled in everything)
            for name in sorted({name for settled in everything for name in settled.known})
        },
        totals=_summed(about["totals"] for _, about in others),
        given=_summed(about["given"] for _, about in others),
    )


def _union(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([_none(), *parts]))


def _summed(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
