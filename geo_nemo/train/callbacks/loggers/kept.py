"""What a logger keeps in the run's folder, so that a run is one run there over all restarts."""

import json
from pathlib import Path
from typing import Any

from geo_nemo.config.files import write_whole


def read_kept(path: Path) -> dict[str, Any]:
    """What was kept; empty where nothing was, or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def keep(path: Path, **content: Any) -> None:
    """Keep `content` in the place of what was kept."""
    write_whole(path, json.dumps(content).encode())
