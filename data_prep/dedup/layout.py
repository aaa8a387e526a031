"""What the stages of deduplication, and a later run, must agree on: names, files, settings."""

from pathlib import Path

from data_prep.config import Near
from data_prep.dedup.minhash import MINHASH_VERSION

FINGERPRINT, DEDUP = "fingerprint", "dedup"
WHOLE = "all"  # the one task of stage `dedup`
FINGERPRINT_VERSION = "1"


def near_settings(near: Near) -> str:
    """What fingerprints were made with."""
    if near.action == "none":
        return f"{FINGERPRINT_VERSION} exact"
    return (
        f"{FINGERPRINT_VERSION} minhash {MINHASH_VERSION}: {near.bands} bands of {near.rows} rows "
        f"over {near.ngram}-grams"
    )


def comparable(settings: str, near: Near) -> bool:
    """Whether fingerprints made with `settings` can be compared with those of `near`."""
    if near.action == "none":
        return settings.split()[0] == FINGERPRINT_VERSION
    return settings == near_settings(near)


def decisions_path(folder: Path, part_id: str) -> Path:
    """The decisions on a part, in the folder of the task WHOLE."""
    return folder / f"{part_id}.npy"
