"""One format for what is told: by level, rank and process; rank 0 alone unless it matters."""

import logging
import multiprocessing
import subprocess
import sys

import pytest

from geo_nemo.common.errors import UserError
from geo_nemo.common.log import check_level, logger

LOG = logger(__name__)


@pytest.fixture(autouse=True)
def rank_zero(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("GEO_NEMO_LOG", raising=False)


def told(capsys):
    for level in ("debug", "info", "warning", "error"):
        getattr(LOG, level)(f"it is {level}")
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_rank_zero_tells_what_is_worth_a_line(capsys):
    assert told(capsys) == [
        "geo-nemo: it is info",
        "geo-nemo: warning: it is warning",
        "geo-nemo: error: it is error",
    ]


def test_another_rank_tells_what_went_wrong_by_its_number(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert told(capsys) == ["geo-nemo: rank 3: error: it is error"]


def test_a_level_is_set_for_all_ranks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("GEO_NEMO_LOG", "Debug")
    assert told(capsys)[:2] == ["geo-nemo: rank 3: debug: it is debug",
                                "geo-nemo: rank 3: it is info"]  # fmt: skip
    monkeypatch.setenv("GEO_NEMO_LOG", "error")
    assert len(told(capsys)) == 1


def test_a_level_that_is_none_is_one_line():
    assert check_level("WARNING") == "warning"
    with pytest.raises(UserError, match="GEO_NEMO_LOG=loud is no level: give one of debug, info,"):
        check_level("loud")


def test_a_worker_process_is_named(capfd):
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=LOG.warning, args=("a file is odd",), name="worker 2")
    worker.start()
    worker.join()
    assert capfd.readouterr().err == "geo-nemo: worker 2: warning: a file is odd\n"


def test_passwords_in_addresses_are_not_told(capsys):
    LOG.info("at https://me:hush@host/x?token=hush")
    assert "hush" not in capsys.readouterr().err


def test_an_exception_comes_with_its_traceback(capsys):
    try:
        raise ValueError("odd at https://me:hush@host/x")
    except ValueError:
        LOG.exception("it failed")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "geo-nemo: error: it failed"
    assert rest[-1] == "ValueError: odd at https://me:***@host/x"
    assert not any("hush" in line for line in rest)


def test_modules_of_all_packages_are_one_family():
    assert logger("data_prep.engine.local").name == "geo_nemo.data_prep.engine.local"
    assert logger("geo_nemo.train.loop").name == "geo_nemo.train.loop"


def test_who_has_given_lines_a_place_first_keeps_it():
    code = (
        "import logging; logging.basicConfig(format='%(name)s %(message)s', level=logging.INFO); "
        "logging.getLogger('geo_nemo').addHandler(logging.NullHandler()); "
        "from geo_nemo.common.log import logger; logger('geo_nemo.x').info('here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "geo_nemo.x here\n"
    assert logging.getLogger("geo_nemo").propagate is False
