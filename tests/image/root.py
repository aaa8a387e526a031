"""A clean Debian root with Python, and commands in it: as root of this machine, without an engine.

Every command has mounts, processes, host name and IPC of its own, and the capabilities that Docker
gives. Its mounts are in a namespace that ends with it, so a killed test leaves none behind.
"""

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(os.environ.get("GEO_NEMO_IMAGE_FOLDER", "/var/cache/geo-nemo-image"))
MIRROR = os.environ.get("GEO_NEMO_DEBIAN_MIRROR", "http://deb.debian.org/debian")
PROGRAMS = ("debootstrap", "unshare", "setpriv", "chroot", "mount", "ip", "tar")
PACKAGES = ("ca-certificates", "netbase", "tzdata", "python3", "python3-pip", "python3-venv")
ROOM = 8 << 30  # bytes on disk that a replay may take
HANDED_IN = "/run/handed-in"
# What python:3.11-slim sets, less the keys of its own build.
BASE_ENV = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
# https://docs.docker.com/engine/security/#linux-kernel-capabilities
CAPABILITIES = (
    "-all,+audit_write,+chown,+dac_override,+fowner,+fsetid,+kill,+mknod,+net_bind_service,"
    "+net_raw,+setfcap,+setgid,+setpcap,+setuid,+sys_chroot"
)
PYTHON = """
set -e
apt-get update -qq
apt-get install -qq --no-install-recommends %s >/dev/null
for name in python python3; do ln -s ../../bin/python3 /usr/local/bin/$name; done
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
apt-get clean
"""
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")
# $1: the root, $2: resolv.conf or nothing, then folders handed in, "--", and the command.
MOUNT = """
set -e
root=$1; names=$2; shift 2
hostname image
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for one in null zero full random urandom tty; do
  touch "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"
done
mkdir "$root/dev/shm"; mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for one in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${one%%:*}" "$root/dev/${one#*:}"; done
mount -t tmpfs -o mode=755 etc "$root/run"
echo "127.0.0.1 localhost image" > "$root/run/hosts"
mount --bind -o ro "$root/run/hosts" "$root/etc/hosts"; rm "$root/run/hosts"
if [ -n "$names" ]; then mount --bind -o ro "$names" "$root/etc/resolv.conf"
else ip link set lo up; fi
number=0
while [ "$1" != -- ]; do
  mkdir -p "$root/run/handed-in/$number"
  mount --bind -o ro "$1" "$root/run/handed-in/$number"
  number=$((number + 1)); shift
done
shift
exec "$@"
"""


def missing() -> str:
    """Why no root can be made here, in one line; empty where it can."""
    if os.geteuid() != 0:
        return "not root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install debootstrap util-linux iproute2"
    if subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True).returncode:
        return "no namespaces may be made here"
    parent = next(path for path in (FOLDER, *FOLDER.parents) if path.exists())
    if shutil.disk_usage(parent).free < ROOM:
        return f"less than {ROOM >> 30} GB free at {FOLDER}"
    return ""


def unreachable(release: str) -> str:
    """Why Debian's mirror cannot be read, in one line; empty where it can."""
    try:
        urllib.request.urlopen(f"{MIRROR}/dists/{release}/Release", timeout=30).close()
    except (urllib.error.URLError, OSError) as error:
        return f"{MIRROR} cannot be read ({error}); set GEO_NEMO_DEBIAN_MIRROR"
    return ""


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder on disk for one replay at a time; what a killed one left goes first."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = FOLDER.lstat()
    if state.st_uid != 0 or state.st_mode & 0o022 or FOLDER.is_symlink():
        raise PermissionError(f"{FOLDER}: must be a folder of root's that only root writes")
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        work = FOLDER / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work)


def base(release: str, into: Path) -> Path:
    """A new root at `into`: Debian `release` with its Python; kept as a tarball between runs."""
    recipe = f"{release} {MIRROR} {PACKAGES} {PYTHON}"
    tarball = FOLDER / f"{release}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar.gz"
    if not tarball.exists():
        made = into.parent / "debootstrap"
        quiet = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run(["debootstrap", "--variant=minbase", release, made, MIRROR], **quiet)
        # An engine lays its own over the first two; debootstrap took all from this machine.
        for name in ("resolv.conf", "hosts"):
            (made / "etc" / name).write_text("")
        (made / "etc" / "hostname").unlink(missing_ok=True)
        run(made, ["/bin/sh", "-c", PYTHON % " ".join(PACKAGES)], BASE_ENV, handed_in=True)
        part = tarball.with_suffix(".part")
        skipped = ["--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./run/*"]
        subprocess.run(["tar", "-C", made, "-czf", part, "--numeric-owner", *skipped, "."], **quiet)
        part.rename(tarball)
        shutil.rmtree(made)
    into.mkdir()
    subprocess.run(["tar", "-C", into, "-xpf", tarball, "--numeric-owner"], check=True)
    return into


def settings() -> tuple[dict[str, str], list[str]]:
    """This machine's settings of pip and apt as files, and the folders that those need.

    Paths in them are those in the root: folder n is at HANDED_IN/n, the files at HANDED_IN/0.
    """
    folders: list[str] = []

    def moved(word: str) -> str:
        path = Path(word.removeprefix("file://"))
        if not path.is_absolute() or not path.exists():
            return word
        # Pages of a simple index lead to files beside it.
        folder = path if path.is_dir() and path.name != "simple" else path.parent
        if str(folder) not in folders:
            folders.append(str(folder))
        at = Path(HANDED_IN, str(folders.index(str(folder)) + 1), path.relative_to(folder))
        return f"file://{at}" if word.startswith("file://") else str(at)

    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    wanted = {
        "cert", "client-cert", "extra-index-url", "find-links", "index-url", "proxy", "timeout",
        "trusted-host",
    }  # fmt: skip
    lines = {}
    # The environment's come last here, for they come first for pip.
    for line in sorted(told.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        name = name.rpartition(".")[2].removeprefix("default-")
        if name in wanted:
            lines[name] = " ".join(moved(word) for word in ast.literal_eval(value).split())
    pip = "[global]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())
    apt = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True)
    return {"pip.conf": pip, "apt.conf": apt.stdout if apt.returncode == 0 else ""}, folders


def run(
    root: Path,
    words: Sequence[str],
    env: Mapping[str, str],
    *,
    user: tuple[int, int] = (0, 0),
    workdir: str = "/",
    handed_in: bool = False,
    check: bool = True,
) -> subprocess.CompletedProcess:
    """Runs `words` in `root` with `env` alone, as user and group `user`.

    With `handed_in` there is the network, and pip and apt find this machine's settings, for this
    command alone; without, there is a loopback device and nothing else. What is handed in lies
    beside `root` meanwhile, in a folder that only root reads.

    Raises:
        RuntimeError: the command failed, and `check` is set; the message ends with its output.
    """
    with tempfile.TemporaryDirectory(dir=Path(root).parent) as handed:
        folders, extra, names, spaces = [], {}, "", (*NAMESPACES, "--net")
        if handed_in:
            files, others = settings()
            for name, text in files.items():
                Path(handed, name).write_text(text)
            os.chmod(handed, 0o755)
            folders, spaces = [handed, *others], NAMESPACES
            names = "/etc/resolv.conf"
            extra = {
                "PIP_CONFIG_FILE": f"{HANDED_IN}/0/pip.conf",
                "APT_CONFIG": f"{HANDED_IN}/0/apt.conf",
            }
        everything = {**env, **extra}
        enter = [
            "setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", "-all",
            "chroot", f"--userspec={user[0]}:{user[1]}", f"--groups={user[1]}", str(root),
            "/usr/bin/env", "-i", f"--chdir={workdir}",
            *(f"{name}={value}" for name, value in everything.items()), *words,
        ]  # fmt: skip
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *spaces, "sh", "-c", MOUNT, "sh",
             str(root), names, *folders, "--", *enter],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
    if check and done.returncode:
        raise RuntimeError(f"{list(words)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done
