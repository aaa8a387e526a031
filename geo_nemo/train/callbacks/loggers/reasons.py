"""Why a logger fails, and whether it may pass."""

from collections.abc import Iterator

from geo_nemo.config.plugins import reason

# Modules that come with the extra `logging`.
_OURS = ("tensorboard", "wandb", "mlflow", "prometheus_client", "sqlalchemy", "alembic")


def missing(setting: str, error: ImportError) -> str:
    """What to install where a logger's package, or one that this needs, is not there."""
    module = (error.name or "").partition(".")[0]
    install = f"pip install {module}"
    if module in _OURS or not module:
        install = "pip install 'geo-nemo[logging]', or -e '.[logging]' in a checkout"
    return f"{setting} needs the package {module} ({reason(error)}): {install}"


def may_pass(error: BaseException) -> bool:
    """Whether an error comes from a connection, a timeout or a disk, and may pass by itself."""
    return any(isinstance(each, OSError) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
