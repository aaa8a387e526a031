"""Compilers' caches lie where the user may write, whatever the container's home and /tmp are."""

import os
import tempfile
from pathlib import Path

import pytest

from geo_nemo.runtime.caches import keep_caches_writable

NOBODY = 65534


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def test_what_is_given_and_writable_stays(tmp_path):
    environment = {"HOME": str(tmp_path / "home"), "TRITON_CACHE_DIR": str(tmp_path / "own")}
    keep_caches_writable(environment)
    assert environment["TRITON_CACHE_DIR"] == str(tmp_path / "own")
    inductor = tmp_path / "home" / ".cache" / "geo-nemo" / "inductor"
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == str(inductor)


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null", None])
def test_a_home_that_takes_nothing_is_left_for_the_temporary_folder(temporary, home):
    environment = {"TORCHINDUCTOR_CACHE_DIR": "/proc/1/inductor"}
    if home:
        environment["HOME"] = home
    else:
        environment["HOME"] = "/proc"
    keep_caches_writable(environment)
    mine = temporary / f"geo-nemo-{os.getuid()}"
    assert environment["TRITON_CACHE_DIR"] == str(mine / "triton")
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == str(mine / "inductor")


@pytest.fixture
def open_folder(monkeypatch):
    """A folder that every user gets into, which pytest's are not."""
    monkeypatch.setattr("tempfile.tempdir", None)
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o1777)
        monkeypatch.setattr("tempfile.tempdir", made)
        yield Path(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may take another user's place")
def test_a_folder_that_another_user_has_made_is_left_alone(open_folder):
    shared = open_folder / "shared"
    shared.mkdir(mode=0o755)
    child = os.fork()  # the interpreter's own files may be root's alone
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            environment = {"HOME": "/", "TRITON_CACHE_DIR": str(shared)}
            keep_caches_writable(environment)
            code = not environment["TRITON_CACHE_DIR"].endswith(f"/geo-nemo-{NOBODY}/triton")
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert list(shared.iterdir()) == []
    assert (open_folder / f"geo-nemo-{NOBODY}").stat().st_uid == NOBODY
