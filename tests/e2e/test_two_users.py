"""Two users of one group: one trains, the other looks, exports, evaluates, and goes on.

As root, for root alone becomes another user; the users are numbers, and no account is made.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.support.command import SMALL

ROOT = Path(__file__).parents[2]
GROUP, TRAINER, READER, STRANGER = 23000, 23001, 23002, 23003


def interpreter() -> str:
    """A Python that other users may run, of this version; empty: there is none."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        if Path(path).exists() and as_user(STRANGER, [path, "-c", "import geo_nemo.config"]) == 0:
            return path
    return ""


def as_user(user, words, group=GROUP, umask="022", capture=False, **environment):
    """Exit code of a command that runs as `user`; with its output where that is asked for."""
    packages = sysconfig.get_paths()["purelib"]
    done = subprocess.run(
        ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups",
         "sh", "-c", f'umask {umask}; exec "$@"', "sh", *map(str, words)],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{packages}:{ROOT}", "HOME": "/nonexistent",
             "OMP_NUM_THREADS": "1", **environment},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return (done.returncode, done.stdout, done.stderr) if capture else done.returncode


REASON = ""
if os.geteuid() != 0:
    REASON = "not root, who alone becomes another user"
elif shutil.which("setpriv") is None:
    REASON = "no setpriv: apt-get install util-linux"
else:
    PYTHON = interpreter()
    if not PYTHON:
        REASON = f"no Python {sys.version_info[0]}.{sys.version_info[1]} that other users may run"
pytestmark = [pytest.mark.very_slow, pytest.mark.skipif(bool(REASON), reason=REASON)]


@pytest.fixture(scope="module")
def disk(tiny_store):
    """A folder that everybody may write in, with a copy of the store."""
    with tempfile.TemporaryDirectory(prefix="geo-nemo-users-") as made:
        os.chmod(made, 0o1777)
        shutil.copytree(tiny_store, Path(made) / "store")
        yield Path(made)


def geo_nemo(user, *words, **how):
    return as_user(user, [PYTHON, "-m", "geo_nemo", *words], capture=True, **how)


def train(user, disk, name, *settings, **how):
    every = (*SMALL, "train.steps=4", "train.warmup_steps=1", "train.micro_batch_size=4",
             "checkpoint.every_steps=2", "logging.tensorboard=true", f"data.store={disk}/store",
             f"output_dir={disk}/{name}")  # fmt: skip
    return geo_nemo(user, "train", *every, *settings, **how)


def modes(folder):
    """Rights of everything in a folder, and itself."""
    found = {path: path.lstat().st_mode for path in folder.rglob("*")}
    return {**found, folder: folder.stat().st_mode}


def test_a_run_that_the_group_may_read(disk):
    """Started under a umask that would keep it to its owner, in a group that is not the user's."""
    code, _, err = train(TRAINER, disk, "run", "sharing.access=group", umask="077")
    assert code == 0, err
    for path, mode in modes(disk / "run").items():
        wanted = 0o750 if stat.S_ISDIR(mode) else 0o640
        assert stat.S_IMODE(mode) & 0o777 == wanted, path
    code, out, err = geo_nemo(READER, "status", f"{disk}/run", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["state"] == "finished"
    code, _, err = geo_nemo(READER, "export", f"{disk}/run", "--out", f"{disk}/run-hf")
    assert code == 0, err
    code, _, err = geo_nemo(
        READER, "eval", f"runs.a={disk}/run", f"store={disk}/store", f"output={disk}/eval",
        "split=test",
    )  # fmt: skip
    assert code == 0, err
    code, out, err = geo_nemo(READER, "gc", f"{disk}/run", "--yes")
    assert code == 2 and "Permission denied" in err and err.count("\n") == 1
    code, out, _ = geo_nemo(STRANGER, "status", f"{disk}/run", group=STRANGER)
    assert code == 2 and "Permission denied" in out


def test_a_run_that_another_user_of_the_group_goes_on_with(disk):
    settings = ("sharing.access=group-write", "sharing.group=23000")
    code, _, err = train(TRAINER, disk, "shared", *settings, "train.steps=4", umask="077")
    assert code == 0, err
    assert all(path.lstat().st_gid == GROUP for path in modes(disk / "shared"))
    (disk / "shared" / "end.json").unlink()
    last = sorted((disk / "shared" / "checkpoints").glob("step_*"))[-1]
    shutil.rmtree(last)  # as after a kill: there is a step to take
    code, _, err = train(READER, disk, "shared", *settings, umask="077")
    assert code == 0, err
    record = json.loads((disk / "shared" / "run.json").read_text())
    assert len(record["sessions"]) == 2


def test_by_default_the_umask_of_who_starts_it_counts(disk):
    code, _, err = train(TRAINER, disk, "own", umask="077")
    assert code == 0, err
    assert not any(mode & 0o077 for mode in modes(disk / "own").values())
    code, _, err = train(TRAINER, disk, "variable", umask="077", GEO_NEMO_UMASK="027")
    assert code == 0, err
    assert all(mode & 0o040 for mode in modes(disk / "variable").values())


@pytest.mark.parametrize(
    ("settings", "environment", "words"),
    [
        (["sharing.group=no-such-group"], {}, "there is no such group here"),
        (["sharing.group=0"], {}, "you are not in it"),
        (["sharing.access=everybody"], {}, "sharing.access='everybody'"),
        ([], {"GEO_NEMO_UMASK": "777"}, "GEO_NEMO_UMASK=777 is no umask"),
        ([], {"GEO_NEMO_UMASK": "u=rw"}, "GEO_NEMO_UMASK=u=rw is no umask"),
    ],
)
def test_mistakes_are_one_line(disk, settings, environment, words):
    code, out, err = train(TRAINER, disk, "wrong", *settings, **environment)
    assert (code, out) == (2, "")
    assert words in err and err.count("\n") == 1
