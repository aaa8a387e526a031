"""JSON and YAML that a user wrote or a crash may have cut: whatever is wrong is a ValueError.

Python's own readers have two more ways to fail: RecursionError where brackets stand too deep in
each other, and YAML's own errors.
"""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value that JSON tells. Raises ValueError where it is none, or is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def parse_yaml(text: str | bytes) -> Any:
    """The value that YAML tells. Raises ValueError, in a line, for all that is not one."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
