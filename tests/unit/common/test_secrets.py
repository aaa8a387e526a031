"""Passwords of addresses: used, and never written down."""

import pytest

from geo_nemo.common.secrets import masked
from geo_nemo.config import Logging, Run
from geo_nemo.config.load import load_config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:pass@host:5000/a", "http://me:***@host:5000/a"),
        ("x=https://token@host, y", "x=https://***@host, y"),
        ("postgresql+psycopg2://me:p%40ss@h/db", "postgresql+psycopg2://me:***@h/db"),
        ("'http://me:p@ss@host'", "'http://me:***@host'"),
        ("two: http://a:b@c http://d:e@f", "two: http://a:***@c http://d:***@f"),
        ("http://h/x?user=me&password=s3&access_token=t", "http://h/x?user=me&password=***"
         "&access_token=***"),
        ("http://me:pa/s?s#w@host:5000/a", "http://me:***@host:5000/a"),
        ("uri=redis://:/p@ss@host/0 or me@host", "uri=redis://:***@host/0 or me@host"),
        ("http://me:1a/b@h http://d:e?f@g", "http://me:***@h http://d:***@g"),
        ("'http://me:p/s@h' of 'me@host'", "'http://me:***@h' of 'me@host'"),
        ("http://me:pass@host/runs@home?to=me@h", "http://me:***@host/runs@home?to=me@h"),
        # Nothing to hide.
        ("http://host:5000/a?to=me@home#x@y", "http://host:5000/a?to=me@home#x@y"),
        ("http://host?to=me@home", "http://host?to=me@home"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("zk://a:2181,b:2181/c@d", "zk://a:2181,b:2181/c@d"),
        ("http://host:5000/runs@home", "http://host:5000/runs@home"),
        ("sqlite:////home/me@site/x.db", "sqlite:////home/me@site/x.db"),
        ("s3://bucket/a@b?c", "s3://bucket/a@b?c"),
        ("mail me@host", "mail me@host"),
        ("databricks://profile", "databricks://profile"),
    ],
)  # fmt: skip
def test_passwords_and_tokens_of_addresses_are_masked(text, expected):
    assert masked(text) == expected
    assert masked(expected) == expected


def test_a_setting_holds_its_password_and_no_record_does():
    address = "http://me:hush-hush@host:5000"
    logging = Logging(
        mlflow_uri=address, loggers=["a:B"], options={"a:B": {"to": [address], "n": 1}}
    )
    assert logging.mlflow_uri == address
    assert logging.options["a:B"]["to"] == [address]
    for dumped in (logging.model_dump(), logging.model_dump(mode="json")):
        assert "hush" not in str(dumped)
        assert dumped["mlflow_uri"] == "http://me:***@host:5000"
        assert dumped["options"] == {"a:B": {"to": ["http://me:***@host:5000"], "n": 1}}
    assert "hush" not in logging.model_dump_json()
    assert Logging.model_validate(logging.model_dump()).mlflow_uri == "http://me:***@host:5000"


def test_a_run_s_record_is_without_it():
    setting = "logging.mlflow_uri=http://me:hush-hush@host:5000"
    run = load_config("train", Run, ("data.store=s", "output_dir=o", setting))
    assert "hush" not in str(run.model_dump(mode="json"))


def test_the_command_line_s_one_line_is_without_it(monkeypatch, capsys):
    from tests.support.command import call

    setting = "logging.mlflow_uri=http://me:hush=hush@host"  # not quoted: Hydra cannot read it
    code, out, err = call(monkeypatch, capsys, "train", "data.store=s", "output_dir=o", setting)
    assert code == 2
    # No address at all is shown there.
    assert "cannot read logging.mlflow_uri=http://... quote the value" in err
    assert "hush" not in out + err


def test_the_config_that_is_printed_is_without_it(monkeypatch, capsys):
    from tests.support.command import call

    setting = "logging.mlflow_uri=http://me:hush-hush@host"
    code, out, _ = call(monkeypatch, capsys, "train", setting, "--cfg", "job")
    assert code == 0
    assert "mlflow_uri: http://me:***@host" in out and "hush" not in out
