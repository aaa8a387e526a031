"""What the system lets a process open and map, against what stores need."""

import resource
from pathlib import Path

from geo_nemo.common.findings import Finding
from geo_nemo.store import Manifest
from geo_nemo.store.manifest import COLUMNS, FIELD_COLUMNS

# Columns hold no descriptor; sockets of NCCL, loggers, workers and logs do.
FEW_FILES = 4096
# Linux's default; the maps of Python, torch and CUDA take some thousand of it.
DEFAULT_MAPS, OTHER_MAPS = 65_530, 5_000
_MOST_MAPS = Path("/proc/sys/vm/max_map_count")


def check_open_files() -> Finding:
    """The limit of open files: the hard one, which every command raises its own to."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= FEW_FILES:
        text = "no limit" if hard == resource.RLIM_INFINITY else f"up to {hard:,}"
        return Finding("open files", "ok", text)
    mend = (
        f"raise the hard limit to {FEW_FILES}: nofile in /etc/security/limits.conf, or ulimit -Hn"
    )
    return Finding("open files", "note", f"at most {hard:,}, also with ulimit -n", mend)


def most_maps() -> int:
    """Memory maps that a process may have."""
    try:
        return int(_MOST_MAPS.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return DEFAULT_MAPS


def too_many_shards(manifest: Manifest, most: int | None = None) -> str:
    """What to do about a split of more shards than can be mapped at once; empty where all can.

    most: maps that a process may have; this machine's where it is not given.
    """
    most = most_maps() if most is None else most
    shards = max((len(split.shards) for split in manifest.splits.values()), default=0)
    columns = len(COLUMNS) + len(FIELD_COLUMNS) * len(manifest.fields)
    need = shards * columns + OTHER_MAPS
    if need <= most:
        return ""
    return (
        f"{shards:,} shards in a split take up to {need:,} memory maps, and vm.max_map_count is "
        f"{most:,}: sysctl -w vm.max_map_count={2 * need}, or prepare with a larger shard_documents"
    )
