"""Gives finished files of the stages their second names in the output folder."""

from collections.abc import Mapping
from pathlib import Path

from data_prep.corpus_out.publish import link_or_copy
from data_prep.stages import build_stage, stage_is_whole


def publish_tree(folder: Path, key: str, files: Mapping[str, Path]) -> None:
    """Make `folder` hold `files`, by relative name, in one step; nothing where it does already.

    Raises UserError where something stands in `folder` that is not ours.
    """
    if stage_is_whole(folder, key) and all(
        _size(folder / name) == path.stat().st_size for name, path in files.items()
    ):
        return

    def build(partial: Path) -> None:
        made = set()
        for name, path in files.items():
            parent = (partial / name).parent
            if parent not in made:
                parent.mkdir(parents=True, exist_ok=True)
                made.add(parent)
            link_or_copy(path, partial / name)

    build_stage(folder, key, build)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
