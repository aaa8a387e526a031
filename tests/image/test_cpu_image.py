"""The Dockerfile's CPU target, replayed in a clean Debian root and started as its user would.

make test-image     (as root, with debootstrap; see docs/containers.md)
"""

import contextlib
import os
import re
import secrets as randomness
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.image import root as clean
from tests.image.context import gather
from tests.image.dockerfile import needed, stages
from tests.image.layers import walk
from tests.image.replay import Replay, release

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "Dockerfile").read_text()
IGNORE = (PROJECT / ".dockerignore").read_text()
STAGES = needed(stages(TEXT), "cpu")
VERSION = re.search(r"python:(3\.\d+)", STAGES[-1].base)[1]


def _missing() -> str:
    if not os.environ.get("GEO_NEMO_IMAGE"):
        return "GEO_NEMO_IMAGE is not set: make test-image"
    return clean.missing() or clean.unreachable(release(STAGES[-1].base))


_REASON = _missing()
# Not part of make test: each reason names what is missing, or the target that runs it.
pytestmark = pytest.mark.skipif(_REASON != "", reason=_REASON)
# What a working folder may hold beside the sources, and inside them.
DECOYS = (
    ".env", ".git/config", ".netrc", "runs/a/metrics.jsonl", "data/news.jsonl", "id_rsa",
    "server.pem", ".venv/pip.conf", "tests/fixture.json", "geo_nemo/.env", "recipes/key.pem",
    "geo_nemo/data/private.key", "slurm/.netrc", "geo_nemo/__pycache__/old.pyc",
    "geo_nemo/.git/HEAD",
)  # fmt: skip


@pytest.fixture(scope="module")
def replay(tmp_path_factory, pytestconfig):
    """The replayed target. Every decoy holds words that no layer may hold."""
    mark = f"kept-outside-{randomness.token_hex(16)}"
    beside = tmp_path_factory.mktemp("beside")
    for name in DECOYS:
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        (beside / name).write_text(f"-----BEGIN PRIVATE KEY-----\n{mark}\n")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def log(line):
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    with clean.workplace() as work:
        context = work / "context"
        for source in (PROJECT, beside):
            gather(source, context, IGNORE)
        arguments = {"REVISION": "0123abc"}
        if os.environ.get("TORCH_INDEX"):
            arguments["TORCH_INDEX"] = os.environ["TORCH_INDEX"]
        outside = [mark.encode(), clean.HANDED_IN.encode(), *_credentials()]
        done = Replay(TEXT, "cpu", context, work, arguments, outside, log)
        log(f"the image: {sum(one.size for one in done.layers if one.stage == 'cpu') / 1e6:.0f} MB "
            "over its base")  # fmt: skip
        yield done


def _credentials() -> list[bytes]:
    """Names and passwords in addresses of pip's settings on this machine."""
    text = "".join(clean.settings()[0].values())
    return [found.encode() for found in re.findall(r"://([^/@\s\"]+)@", text)]


def start(replay, *words, **options):
    """Of a container: the entry point, and `words` in the place of CMD."""
    image = replay.image
    return image.start([*image.words(image.entrypoint), *words], **options)


def test_the_stand_in_has_the_base_images_python(replay):
    for image in replay.images.values():
        told = clean.run(image.root, ["python", "--version"], clean.BASE_ENV).stdout
        assert told.startswith(f"Python {VERSION}.")


def test_all_packages_agree_and_are_those_of_constraints(replay):
    assert "No broken" in start(replay, "python", "-m", "pip", "check").stdout
    listed = start(replay, "python", "-m", "pip", "list", "--format=freeze").stdout
    installed = dict(line.lower().split("==") for line in listed.splitlines() if "==" in line)
    pins = dict(
        line.lower().split("==")
        for line in (PROJECT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert "geo-nemo" in installed and len(installed) > 50
    assert installed["torch"].partition("+")[0] == pins["torch"]
    names = {name.replace("_", "-"): version for name, version in pins.items()}
    for name, version in installed.items():
        if name.replace("_", "-") not in {"geo-nemo", "pip", "setuptools", "wheel"}:
            assert version.partition("+")[0] == names[name.replace("_", "-")], name


def test_commands_run_as_the_user_who_is_not_root(replay):
    told = start(replay, "sh", "-c", "id -u; id -g; pwd; echo $HOME; command -v geo-nemo").stdout
    home = "/home/geo"
    assert told.split() == ["10001", "10001", home, home, "/opt/geo-nemo/bin/geo-nemo"]
    assert start(replay, "touch", "/opt/geo-nemo/new", check=False).returncode != 0
    start(replay, "touch", "/home/geo/new")


def test_the_health_check_ends_well_and_labels_are_filled_in(replay):
    image = replay.image
    assert image.start(image.words(image.healthcheck), check=False).returncode == 0
    assert image.labels["org.opencontainers.image.revision"] == "0123abc"
    assert all(image.labels.values())


def test_help_and_doctor_start(replay):
    assert "Usage: geo-nemo" in start(replay, "geo-nemo", "--help").stdout
    assert "experiment" in start(replay, "geo-nemo", "recipes", "list").stdout
    told = start(replay, "geo-nemo", "doctor", check=False)
    assert "megatron-core" in told.stdout and "Traceback" not in told.stdout


def test_the_images_own_command_goes_the_whole_way_without_a_network(replay):
    """CMD with ten steps: corpus, store, two trainings, evaluation, report."""
    image = replay.image
    assert image.command[:2] == ["geo-nemo", "demo"]
    start(replay, *image.command, "--steps", "10")
    out = image.root / image.command[image.command.index("--out") + 1].lstrip("/")
    assert (out / "report.html").stat().st_size > 10_000
    owners = {state.st_uid for _, state in walk(out)}
    assert owners == {10001}


def test_nothing_that_dockerignore_names_is_in_a_root(replay):
    """Of the working folder there is what was let in; nowhere is a file that it leaves out."""
    source = replay.images["wheel"].root / "src"
    let_in = {line[1:] for line in IGNORE.splitlines() if line.startswith("!")}
    assert {path.name for path in source.iterdir()} == let_in
    names = {name.rpartition("/")[2] for name in DECOYS} - {"metrics.jsonl", "config", "HEAD"}
    for image in replay.images.values():
        assert not {path for path, _ in walk(image.root) if path.rpartition("/")[2] in names}


def test_a_killed_replay_leaves_no_process_and_no_mount(replay):
    root, started = replay.image.root, replay.image.root / "tmp" / "started"
    script = (
        "import sys; from pathlib import Path; from tests.image import root\n"
        "root.run(Path(sys.argv[1]), ['sh', '-c', 'echo > /tmp/started; sleep 3600'], {})"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(root)], cwd=PROJECT)
    wait_for(started.exists)
    assert inside(root)
    process.kill()
    process.wait()
    wait_for(lambda: not inside(root))
    assert str(root) not in Path("/proc/self/mountinfo").read_text()


def inside(root):
    """The processes whose root folder is `root`."""
    found = []
    for link in Path("/proc").glob("[0-9]*/root"):
        with contextlib.suppress(OSError):
            found += [link.parent.name] if os.readlink(link) == str(root) else []
    return found


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def test_no_layer_holds_a_secret(replay):
    assert [one.findings for one in replay.layers if one.findings] == []
    assert any(one.added for one in replay.layers)


LEAKY = """FROM {base} AS leaky
ENV KEPT=yes
RUN cp $PIP_CONFIG_FILE /etc/pip.conf
RUN rm /etc/pip.conf && test "$KEPT" = yes && test ! -e /src
"""


def test_a_secret_that_a_later_line_removes_is_found(replay):
    text = LEAKY.format(base=STAGES[-1].base)
    made = Replay(text, "leaky", replay.context, replay.work, {}, replay.secrets)
    assert [bool(one.findings) for one in made.layers] == [True, False]
    assert {found.partition(":")[0] for found in made.layers[0].findings} == {"etc/pip.conf"}


def test_a_line_that_fails_ends_the_replay(replay):
    text = f"FROM {STAGES[-1].base} AS failing\nRUN echo said && python -c 'raise SystemExit(7)'\n"
    with pytest.raises(RuntimeError, match=r"(?s)ended with 7.*said"):
        Replay(text, "failing", replay.context, replay.work, {})
