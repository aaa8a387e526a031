"""Whether the columns of a shard mean something together: lengths, offsets, indexes and paths."""

from collections.abc import Iterator

import numpy as np

from geo_nemo.store.manifest import ShardEntry
from geo_nemo.store.paths import BLOCK, PathBlocks

Problem = tuple[str, str]
ONE_A_DOCUMENT = (
    "title_end.bin", "body_end.bin", "country.bin", "host.bin", "year.bin", "quality.bin",
    "source.bin", "hash.bin",
)  # fmt: skip


def column_problems(
    shard: ShardEntry, columns: dict[str, np.ndarray], num_hosts: int | None
) -> list[Problem]:
    """File and problem of each column that does not hold what it must.

    num_hosts: lines of hosts.txt; None leaves the host map unchecked.
    """
    problems = [
        (name, f"has {len(columns[name])} values for {shard.documents} documents")
        for name in ONE_A_DOCUMENT
        if len(columns[name]) != shard.documents
    ]
    # What follows reads the columns side by side.
    if not problems:
        problems = [*_ends(shard, columns), *_indexes(shard, columns, num_hosts)]
        problems += _clusters(shard, columns)
        problems += _starts(shard, columns)
    return problems


def _ends(shard: ShardEntry, columns: dict[str, np.ndarray]) -> Iterator[Problem]:
    for name, tokens in (("title", shard.title_tokens), ("body", shard.body_tokens)):
        if not rise_to(columns[f"{name}_end.bin"], len(columns[f"{name}.bin"])):
            yield f"{name}_end.bin", f"does not match {name}.bin"
        if len(columns[f"{name}.bin"]) != tokens:
            yield f"{name}.bin", f"holds {len(columns[f'{name}.bin'])} tokens, not {tokens}"
    ends = columns["path_end.bin"]
    blocks = -(-shard.documents // BLOCK)
    if len(ends) != blocks or not rise_to(ends, len(columns["path.bin"])):
        yield "path_end.bin", "does not match path.bin"
        return
    paths = PathBlocks(columns["path.bin"], ends, columns["path_dict.bin"])
    try:
        found = sum(len(paths.block(number)) for number in range(blocks))
    except ValueError as error:
        yield "path.bin", f"is damaged: {error}"
        return
    if found != shard.documents:
        yield "path.bin", f"holds {found} paths for {shard.documents} documents"


def _indexes(
    shard: ShardEntry, columns: dict[str, np.ndarray], num_hosts: int | None
) -> Iterator[Problem]:
    limits = {
        "country.bin": len(shard.countries),
        "source.bin": len(shard.sources),
        "host.bin": len(columns["host_map.bin"]),
    }
    if num_hosts is not None:
        limits["host_map.bin"] = num_hosts
    for name, limit in limits.items():
        values = columns[name]
        if len(values) and int(values.max()) >= limit:
            yield name, f"holds {int(values.max())}, above {limit - 1}"


def _clusters(shard: ShardEntry, columns: dict[str, np.ndarray]) -> Iterator[Problem]:
    at = columns["cluster_at.bin"]
    within = len(at) == 0 or int(at[-1]) < shard.documents
    if len(at) != len(columns["cluster.bin"]) or not within or not bool((at[1:] > at[:-1]).all()):
        yield "cluster_at.bin", "does not match cluster.bin"


def _starts(shard: ShardEntry, columns: dict[str, np.ndarray]) -> Iterator[Problem]:
    sizes = columns.get("start_size.bin")
    if sizes is None:
        return
    if int(sizes.sum(dtype=np.int64)) != len(columns["start.bin"]):
        yield "start_size.bin", "does not match start.bin"
    for name in ("title_start.bin", "body_start.bin"):
        codes = columns[name]
        if len(codes) != shard.documents:
            yield name, f"has {len(codes)} values for {shard.documents} documents"
        elif len(codes) and int(codes.max()) > len(sizes):
            yield name, f"holds {int(codes.max())}, above {len(sizes)}"


def rise_to(ends: np.ndarray, last: int) -> bool:
    """Whether ends rise, and the last one is `last`; 0 where there is none."""
    # Neighbours are compared, not subtracted: the type is unsigned.
    rises = bool((ends[1:] >= ends[:-1]).all())
    return rises and (int(ends[-1]) if len(ends) else 0) == last
