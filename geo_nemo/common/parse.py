"""JSON and YAML that a user wrote or a crash may have cut: whatever is wrong is a ValueError.

Python's own readers have more ways to fail: RecursionError where brackets stand too deep in each
other, YAML's own errors, and whatever its tags make of a value that they do not fit.
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
    except (LookupError, AttributeError):
        raise ValueError("a value does not fit the tag before it, such as !!int") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
