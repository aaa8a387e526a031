"""Reads mutated files of every format: `python -m tests.unit.data_prep.read.fuzz SEED CASES`.

Prints one line of JSON: cases by format, records and reasons seen, and the growth of the peak of
memory in MiB. Ends with a traceback where a reader raises anything but UserError, gives a reason
that is not listed, or harms a record that stands before the mutation. A case that hangs or crashes
the process is named on stderr, which tells `FORMAT NUMBER` of each case before it is run.
"""

import json
import random
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path

from data_prep.config import Limits, Source
from data_prep.quarantine import REASONS
from data_prep.read import Bad, Raw, list_files, open_reader
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.read import samples

LIMITS = Limits(record_bytes=1 << 20)
# Web pages go through a process beside this one, which costs a millisecond each.
WEIGHTS = {"a.warc": 0.5, "a.warc.gz": 0.5}


def ends_of_records(name: str, data: bytes) -> list[int] | None:
    """Where each record of a plain format ends; None for formats that are not read in order."""
    if name == "a.jsonl":
        return [at + 1 for at, byte in enumerate(data) if byte == 10]
    if name == "a.csv":
        return [len(samples.comma(samples.RECORDS[: n + 1])) for n in range(len(samples.RECORDS))]
    if name == "a.warc.wet":
        records = samples.wet_records()
        return [sum(map(len, records[: n + 1])) for n in range(len(records))]
    if name == "a.tar":
        # A record is known to be whole when the next one's header has been read; a member of these
        # takes a block for its header and one for what it holds.
        return [2048 * (n + 1) + 512 for n in range(len(samples.RECORDS) - 1)]
    return None


def mutate(data: bytes, rng: random.Random) -> tuple[bytes, int]:
    """Changed data, and the first byte that changed."""
    out = bytearray(data)
    kind = rng.randrange(6)
    at = rng.randrange(len(out))
    if kind == 0:
        out[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del out[at:]
    elif kind == 2:
        out[at:at] = rng.randbytes(rng.randrange(1, 40))
    elif kind == 3:
        source = rng.randrange(len(out))
        out[at : at + rng.randrange(60)] = data[source : source + rng.randrange(60)]
    elif kind == 4:
        # Lengths and offsets at their limits.
        out[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"))
    else:
        places = [rng.randrange(len(out)) for _ in range(rng.randrange(2, 12))]
        at = min(places)
        for place in places:
            out[place] = rng.randrange(256)
    return bytes(out), at


def run(seed: int, cases: int) -> dict:
    files = samples.every_format()
    total = sum(WEIGHTS.get(name, 1) for name in files)
    seen: Counter[str] = Counter()
    done: Counter[str] = Counter()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        whole = {name: read(Path(folder) / name, data) for name, data in files.items()}
        before = peak()
        for name, data in files.items():
            good = [item for item in whole[name] if isinstance(item, Raw)]
            assert len(good) == len(whole[name]) > 0, name
            ends = ends_of_records(name, data)
            for number in range(round(cases * WEIGHTS.get(name, 1) / total + 0.5)):
                print(name, number, file=sys.stderr)
                rng = random.Random(f"{seed} {name} {number}")
                changed, at = mutate(data, rng)
                found = read(Path(folder) / name, changed)
                check(found, seen)
                if ends is not None:
                    unharmed = sum(end <= at for end in ends)
                    assert found[:unharmed] == good[:unharmed], (name, number)
                done[name] += 1
        grown = peak() - before
    return {"cases": sum(done.values()), "by_format": done, "seen": seen, "grown_mib": grown}


def read(path: Path, data: bytes) -> list:
    path.write_bytes(data)
    try:
        (file,) = list_files(Source(path=str(path)))
        return list(open_reader(file, LIMITS))
    except UserError as error:
        assert "\n" not in str(error)
        return [error]


def check(found: list, seen: Counter[str]) -> None:
    for item in found:
        if isinstance(item, Raw):
            seen["record"] += 1
            assert item.number > 0
            json.dumps(item.fields)
            assert len(item.excerpt) <= 300
        elif isinstance(item, Bad):
            seen[item.reason] += 1
            assert item.reason in REASONS, item
            assert item.number >= 0 and len(item.excerpt) <= 300 and "\n" not in item.detail, item
        else:
            seen["UserError"] += 1


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
