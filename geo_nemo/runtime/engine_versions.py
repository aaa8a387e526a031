"""The Transformer Engines and drivers that this project goes with: the one place that says so.

Needs no torch. pyproject.toml and the documentation repeat it, and a test holds them to it.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

# What tests/unit/test_signatures.py holds the calls of this project and of Megatron-Core against;
# 2.9 is also what Megatron-Core 0.16.1 is made for.
TRANSFORMER_ENGINES = ">=2.9,<2.21"
LEAST_TRANSFORMER_ENGINE = (2, 9)
# The first branch of the driver for each CUDA (their release notes), by what torch is built for.
LEAST_DRIVER = {12: 525, 13: 580}
# The wheels of its compiled half are by the CUDA that they are built for.
_NAMES = ("transformer-engine", "transformer-engine-cu13", "transformer-engine-cu12")


def transformer_engine_version() -> str | None:
    """The installed version, by the names of its packages; None where there is none."""
    if find_spec("transformer_engine") is None:
        return None
    for name in _NAMES:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
