"""The client of `s3://`: pyarrow's, with what the usual AWS variables say.

Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE and the other
ways of the AWS SDK; AWS_NO_SIGN_REQUEST=1 for public buckets. Region: AWS_REGION or
AWS_DEFAULT_REGION, else that of the bucket. Another server: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL.
No message repeats what the server or these variables say, beyond the name of an error.
"""

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from geo_nemo.common.errors import UserError

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

CONNECT_S, REQUEST_S, ATTEMPTS = 10, 30, 4
_ERROR = re.compile(r"AWS Error (?:\[code \d+\]|(\w+))")
_HINTS = {
    "ACCESS_DENIED": "access denied: check the AWS credentials",
    "INVALID_ACCESS_KEY_ID": "the AWS credentials are refused",
    "SIGNATURE_DOES_NOT_MATCH": "the AWS credentials are refused",
    "NO_SUCH_BUCKET": "no such bucket",
    "NO_SUCH_KEY": "no such file",
    "RESOURCE_NOT_FOUND": "no such file or bucket",
    "NETWORK_CONNECTION": "no connection to the server (AWS_ENDPOINT_URL, network)",
}
# To try again changes nothing.
_LASTING = {
    "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "NO_SUCH_BUCKET",
    "NO_SUCH_KEY", "RESOURCE_NOT_FOUND",
}  # fmt: skip
_VARIABLES = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_NO_SIGN_REQUEST", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SESSION_TOKEN",
)  # fmt: skip


def connect(bucket: str) -> "S3FileSystem":
    """The client for a bucket; the same one as long as the variables are the same.

    Raises `UserError` for variables that it cannot take, OSError where the region is not found.
    """
    return _connect(bucket, *(os.environ.get(name, "") for name in _VARIABLES))


def is_connected() -> bool:
    """Whether this process has a client: its threads and connections do not go into a fork."""
    return _connect.cache_info().currsize > 0


def hint(error: Exception) -> str:
    """What an error of the client means, without what the server said."""
    if isinstance(error, FileNotFoundError):
        return "no such file or bucket"
    code = _code(error)
    return _HINTS.get(code, f"the server answered {code}" if code else "the request failed")


def is_lasting(error: Exception) -> bool:
    """Whether another try would fail alike."""
    return isinstance(error, FileNotFoundError) or _code(error) in _LASTING


def _code(error: Exception) -> str | None:
    found = _ERROR.search(str(error))
    return found.group(1) if found else None


@lru_cache(64)
def _connect(
    bucket: str, s3_endpoint: str, endpoint: str, region: str, default_region: str, unsigned: str,
    *_: str,
) -> "S3FileSystem":  # fmt: skip
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    options: dict[str, Any] = {}
    endpoint = s3_endpoint or endpoint
    region = region or default_region
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        if "@" in host or scheme not in ("", "http", "https"):
            raise UserError("AWS_ENDPOINT_URL: give http(s)://host:port, without credentials")
        options |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
    if not region:
        region = "us-east-1" if endpoint else resolve_s3_region(bucket)
    return S3FileSystem(
        region=region,
        anonymous=unsigned.lower() in ("1", "true", "yes"),
        connect_timeout=CONNECT_S,
        request_timeout=REQUEST_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        # A small object is one request then, not three.
        allow_delayed_open=True,
        # Else what is written waits in memory, without bound, for a network that is slower.
        background_writes=False,
        **options,
    )
