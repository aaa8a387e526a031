"""Settings that may hold a secret: in an address it is masked, under a key of its own refused."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, ValidationInfo

from geo_nemo.common.secrets import MASK, all_masked, masked
from geo_nemo.config.kinds import WRITTEN

# Names of arguments whose values are secrets, whole or behind a `_`.
_SECRET = re.compile(
    r"(?:.*[_-])?(?:(?:api|access|auth|private|secret)[_-]?key|secret|password|passwd|pwd"
    r"|credentials?|webhook(?:[_-]url)?|(?:api|access|auth|bearer|refresh|session)[_-]?token)|token",
    re.IGNORECASE,
)
# It may be a vocabulary's token, as pad_token; a secret is long, and one word.
_ANY_TOKEN, _LONG = re.compile(r".*[_-]token", re.IGNORECASE), re.compile(r"[\w.~+/=-]{16,}")
_VARIABLES = {"wandb": "WANDB_API_KEY", "mlflow": "MLFLOW_TRACKING_TOKEN"}


def _secrets(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Keys of nested dicts that hold a secret."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _secrets(value, f"{prefix}{key}.")
        elif value and not isinstance(value, bool) and _is_secret(str(key), value):
            yield f"{prefix}{key}"


def _is_secret(key: str, value: Any) -> bool:
    if _SECRET.fullmatch(key):
        return True
    return bool(_ANY_TOKEN.fullmatch(key) and isinstance(value, str) and _LONG.fullmatch(value))


def _check_no_secret(options: dict[str, dict[str, Any]], info: ValidationInfo) -> Any:
    """Raise `ValueError`, without the value, where a user has just written a secret."""
    found = next(_secrets(options), None) if info.context == WRITTEN else None
    if found is not None:
        variable = _VARIABLES.get(found.partition(".")[0], "an environment variable")
        raise ValueError(
            f"{found} holds a secret, and settings are kept in run.json and in the checkpoints: "
            f"leave it out, and have it read from {variable} (in a job: set by slurm.env_file)"
        )
    return options


def _masked_by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _masked_by_key(value)
        if isinstance(value, Mapping)
        else MASK
        if key in set(_secrets({key: value}))
        else all_masked(value)
        for key, value in values.items()
    }


Address = Annotated[str, PlainSerializer(masked, return_type=str)]
Arguments = Annotated[dict[str, Any], PlainSerializer(all_masked)]
Options = Annotated[
    dict[str, dict[str, Any]], AfterValidator(_check_no_secret), PlainSerializer(_masked_by_key)
]
