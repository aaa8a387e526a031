"""JSON and YAML that a user wrote or a crash may have cut: whatever is wrong is a ValueError.

Python's own readers have more ways to fail: RecursionError where brackets stand too deep in each
other, YAML's own errors, and whatever its tags make of a value that they do not fit.
"""

import json
from functools import cache
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value that JSON tells. Raises ValueError where it is none, or is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def parse_yaml(text: str | bytes) -> Any:
    """The value that YAML tells. Raises ValueError, in a line, for all that is not one, and for a
    key that stands twice in a mapping: the second would take the place of the first."""
    import yaml

    try:
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
    except (LookupError, AttributeError):
        raise ValueError("a value does not fit the tag before it, such as !!int") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


@cache
def _loader() -> type:
    from yaml import SafeLoader, ScalarNode
    from yaml.constructor import ConstructorError
    from yaml.nodes import MappingNode

    class OnceLoader(SafeLoader):
        """YAML's own, but a key stands once."""

        def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, ScalarNode) and (key.tag, key.value) in seen:
                    raise ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
                seen.add((key.tag, key.value) if isinstance(key, ScalarNode) else id(key))
            return super().construct_mapping(node, deep)

    return OnceLoader
