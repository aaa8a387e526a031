"""One line where a package that an adapter adapts to is not installed."""

import importlib

from geo_nemo.config import UserError


class MissingPackageError(UserError, ImportError):
    """An adapter was imported where its package is not."""


def need(module: str, package: str, extra: str) -> None:
    """Import `module`, or raise `MissingPackageError` that names the extra with `package` in it."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"this needs {package}, which does not import here ({' '.join(str(error).split())}): "
            f"pip install -e '.[{extra}]' in the checkout, or docs/nemo.md"
        ) from error
