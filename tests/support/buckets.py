"""Buckets of a server of `s3://` on this machine, for tests."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

KEY, SECRET = "AKIAEXAMPLEKEY", "example/secret/of/nobody"


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server that runs until the block ends."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


class Bucket:
    """A bucket, seen by a client that is not the one under test."""

    def __init__(self, client, name: str):
        self.client = client
        self.name = name

    def address(self, folder: str) -> str:
        return f"s3://{self.name}/{folder}"

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def names(self, prefix: str = "") -> list[str]:
        """Keys of the objects, without the empty ones that stand for folders."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [key for key in keys if not key.endswith("/")]

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.client.delete_object(Bucket=self.name, Key=key)

    def damage(self, key: str) -> None:
        """Change a byte in the middle of an object; its size stays."""
        content = bytearray(self.get(key))
        content[len(content) // 2] ^= 1
        self.put(key, bytes(content))


@contextmanager
def new_bucket(endpoint: str, name: str, monkeypatch) -> Iterator[Bucket]:
    """An empty bucket, and the variables that lead to it."""
    import boto3

    for variable in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=name)
    bucket = Bucket(client, name)
    yield bucket
    for item in client.list_objects_v2(Bucket=name).get("Contents", []):
        bucket.delete(item["Key"])
    client.delete_bucket(Bucket=name)
