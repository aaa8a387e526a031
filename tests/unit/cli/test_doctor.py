"""`geo-nemo doctor`: every break is named with its mend, and the exit code says so."""

import errno
import json
import re
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.specifiers import SpecifierSet

from geo_nemo.cli import main as cli
from geo_nemo.cli.doctor import check_store, diagnose
from geo_nemo.common.findings import Finding
from geo_nemo.diagnostics import doctor, machine
from geo_nemo.runtime.engine_versions import TRANSFORMER_ENGINES
from tests.unit.data_prep.store_tools.worlds import write_tokenizer

GIB = 2**30


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["geo-nemo", "doctor", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, capsys.readouterr().out

    return call


def packages(installed: dict[str, str], required: list[str], python="3.11.7"):
    """Findings by topic where exactly `installed` is there and `required` is wanted."""

    def version_of(name):
        try:
            return installed[name]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    found = doctor.check_packages(version_of, lambda _: required, python, lambda: ">=3.11")
    return {finding.topic: finding for finding in found}


def test_this_machine_passes_and_the_json_holds_every_finding(run, tmp_path, tiny_store):
    status, out = run("--output", str(tmp_path), "--store", str(tiny_store), "--json")
    shown = json.loads(out)
    topics = {finding["topic"]: finding["level"] for finding in shown["findings"]}
    assert status == 0 and shown["ok"] is True
    for topic in ("python", "packages", "torch", "megatron-core", f"output {tmp_path}", "port",
                  f"store {tiny_store}"):  # fmt: skip
        assert topics[topic] == "ok", topic
    assert list(tmp_path.iterdir()) == []


def test_the_table_shows_what_was_found(run, tmp_path):
    status, out = run("--output", str(tmp_path))
    assert status == 0
    assert "megatron-core" in out and "problem" not in out


def test_a_missing_store_exits_with_1_and_says_how_to_make_one(run, tmp_path):
    status, out = run("--output", str(tmp_path), "--store", str(tmp_path / "none"))
    words = " ".join(out.replace("│", " ").split())
    assert status == 1
    assert "no token store at" in words
    assert "geo-nemo prep" in words


def test_a_damaged_store_is_named_by_its_file(tiny_store, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(tiny_store, store)
    with (store / "train" / "00000" / "body.bin").open("ab") as file:
        file.write(b"xx")
    finding = check_store(store)
    assert finding.level == "problem"
    assert "body.bin" in finding.text


def test_another_tokenizer_in_the_store_is_a_problem(tiny_store, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(tiny_store, store)
    content = bytearray((store / "tokenizer.model").read_bytes())
    content[-1] ^= 1
    (store / "tokenizer.model").write_bytes(content)
    finding = check_store(store)
    assert finding.level == "problem"
    assert "tokenizer.model" in finding.text


def test_packages_in_their_ranges_are_one_line():
    found = packages({"torch": "2.13.0+cpu", "numpy": "2.0"}, ["torch>=2.6", "numpy>=1.26"])
    assert found["packages"] == Finding("packages", "ok", "2 required packages are in their ranges")
    assert found["python"].level == "ok"


def test_a_wrong_and_a_missing_version_are_problems_with_a_command_each():
    found = packages({"torch": "2.5.1"}, ["torch>=2.6", "megatron-core<0.20,>=0.16.1"])
    assert found["torch"] == Finding(
        "torch", "problem", "2.5.1, needs >=2.6", "pip install 'torch>=2.6'"
    )
    missing = found["megatron-core"]
    assert (missing.level, missing.text) == ("problem", "absent, needs <0.20,>=0.16.1")
    assert missing.mend == "pip install 'megatron-core<0.20,>=0.16.1'"
    assert "packages" not in found


def test_requirements_of_extras_and_other_systems_are_left_out():
    required = ["ruff>=0.6; extra == 'dev'", "colorama; sys_platform == 'win32'", "click>=8.1"]
    found = packages({"click": "8.5.1"}, required)
    assert found["packages"].text.startswith("1 required")


def test_an_old_python_is_a_problem():
    found = packages({}, [], python="3.10.12")["python"]
    assert (found.level, found.text) == ("problem", "3.10.12, needs >=3.11")


def test_optional_packages_are_notes_that_say_what_they_are_for():
    found = packages({"transformer-engine": "2.8.0"}, [])
    assert found["transformer-engine"].level == "note"
    assert f"written for {TRANSFORMER_ENGINES}" in found["transformer-engine"].text
    assert found["nemo-toolkit"].level == "note"
    assert found["nemo-toolkit"].text.startswith("absent: ")
    for version in ("2.12.0", "2.20.2"):
        assert packages({"transformer-engine": version}, [])["transformer-engine"].level == "ok"


def test_a_trainer_beside_another_megatron_core_than_its_own_is_a_note():
    found = packages({"nemo-toolkit": "2.7.3", "megatron-core": "0.15.3"}, [])
    assert "megatron-core for nemo-toolkit" not in found and found["nemo-toolkit"].level == "ok"
    found = packages({"nemo-toolkit": "2.5.0", "megatron-core": "0.16.1"}, [])
    assert found["nemo-toolkit"].level == "note"
    finding = found["megatron-core for nemo-toolkit"]
    assert finding.text == "0.16.1, and nemo-toolkit 2.5.0 was run with 0.15.3 alone"
    assert finding.mend.startswith("pip install 'megatron-core==0.15.3'")
    found = packages({"megatron-bridge": "0.3.1", "megatron-core": "0.15.3"}, [])
    assert "0.16.1 alone" in found["megatron-core for megatron-bridge"].text
    found = packages({"megatron-bridge": "0.6.2", "megatron-core": "0.16.1"}, [])
    assert "0.19.2 alone" in found["megatron-core for megatron-bridge"].text
    assert found["megatron-bridge"].level == "ok"
    found = packages({"megatron-bridge": "0.6.2", "megatron-core": "0.19.2"}, [])
    assert "megatron-core for megatron-bridge" not in found
    assert packages({"megatron-bridge": "0.5.1"}, [])["megatron-bridge"].level == "note"


@pytest.mark.parametrize("pins", ["nemo", "bridge"])
def test_what_trainers_go_with_is_what_their_test_environments_have(pins):
    pins = Path(__file__).parents[3] / f"constraints-{pins}.txt"
    versions = dict(re.findall(r"^([\w-]+)==([^ ;\n]+)", pins.read_text(), re.MULTILINE))
    of = {
        (name, engine)
        for name, trainers, engine in doctor.MEGATRON_OF
        if name in versions and SpecifierSet(trainers).contains(versions[name])
    }
    assert {engine for _, engine in of} == {f"=={versions['megatron-core']}"}
    for name, known, _ in doctor.OPTIONAL:
        if name in versions:
            assert SpecifierSet(known).contains(versions[name]), name


def test_of_a_store_on_s3_the_manifest_alone_is_read(tiny_store, bucket, tmp_path, monkeypatch):
    from geo_nemo.store.remote import push_store

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    push_store(tiny_store, "s3://news/store")
    finding = check_store("s3://news/store")
    assert finding.level == "ok" and finding.text.endswith("it is not fetched here")
    assert not (tmp_path / "cache").exists()
    finding = check_store("s3://news/none")
    assert finding.level == "problem" and "s3://news/none" in finding.text


def test_a_checkout_that_is_not_installed_is_a_note():
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    (finding,) = doctor.check_packages(requires_of=absent)
    assert finding.level == "note"
    assert finding.mend == "pip install -e . in the checkout"


@pytest.mark.parametrize(
    ("name", "capability", "level", "words"),
    [
        ("NVIDIA H100", (9, 0), "ok", "9.0, 80 GiB, bf16 yes, FP8 yes"),
        ("NVIDIA L4", (8, 9), "ok", "bf16 yes, FP8 yes"),
        ("NVIDIA A100", (8, 0), "ok", "bf16 yes, FP8 no"),
        ("Tesla V100", (7, 0), "note", "bf16 no, FP8 no"),
        ("later one", (10, 0), "ok", "FP8 yes"),
    ],
)
def test_a_gpu_is_told_by_its_compute_capability(name, capability, level, words):
    finding = doctor.gpu_finding(3, name, capability, 80 * GIB)
    assert (finding.topic, finding.level) == ("gpu 3", level)
    assert words in finding.text


def test_a_megatron_that_the_cpu_runtime_does_not_fit_is_a_problem(monkeypatch):
    def install():
        raise AttributeError("module 'megatron.core' has no attribute 'optimizer'")

    monkeypatch.setattr("geo_nemo.runtime.cpu.install", install)
    (finding,) = doctor.check_megatron()
    assert finding.level == "problem"
    assert "AttributeError: module 'megatron.core' has no" in finding.text


def test_an_output_below_a_file_is_a_problem(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, out = run("--output", str(tmp_path / "file" / "out"), "--json")
    (finding,) = (f for f in json.loads(out)["findings"] if f["topic"].startswith("output"))
    assert status == 1
    assert finding["level"] == "problem"
    assert finding["text"] == f"{tmp_path / 'file'} is not a folder"


def test_an_output_that_may_not_be_written_is_a_problem(monkeypatch, tmp_path):
    def refuses(**options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryDirectory", refuses)
    (finding,) = machine.check_output(tmp_path)
    assert finding.level == "problem"
    assert finding.text == f"cannot write in {tmp_path}: Permission denied"


@pytest.mark.parametrize(
    ("module", "function", "step"),
    [("os", "fsync", "fsync fails"), ("fcntl", "flock", "flock fails"),
     ("mmap", "mmap", "a memory map fails"), ("os", "replace", "renaming fails")],
)  # fmt: skip
def test_a_file_system_without_what_writing_needs_is_a_problem(
    monkeypatch, tmp_path, module, function, step
):
    def fails(*arguments, **options):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(getattr(machine, module), function, fails)
    finding, _ = machine.check_output(tmp_path / "to be made")
    assert finding.level == "problem"
    assert finding.text == f"{step} (Function not implemented) in {tmp_path}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free", "level"), [(GIB // 2, "problem"), (5 * GIB, "note"), (50 * GIB, "ok")]
)
def test_free_disk_and_memory_have_bounds(free, level):
    assert machine.disk_finding(free).level == level
    expected = {"problem": "note", "note": "ok", "ok": "ok"}[level]
    assert machine.check_memory(free).level == expected


@pytest.mark.parametrize(
    ("cores", "value", "level", "words"),
    [
        (2, None, "ok", "not set"),
        (64, None, "note", "takes all of them"),
        (4, "4", "ok", "4 cores, OMP_NUM_THREADS=4"),
        (2, "16", "note", "OMP_NUM_THREADS=16 on 2 cores"),
        (2, "many", "problem", "OMP_NUM_THREADS=many is not a number"),
        (2, "0", "problem", "is not a number of threads"),
    ],
)
def test_threads_are_compared_with_the_cores(cores, value, level, words):
    environment = {} if value is None else {"OMP_NUM_THREADS": value}
    finding = machine.check_threads(cores, environment)
    assert finding.level == level
    assert words in finding.text
    assert bool(finding.mend) == (level != "ok")


def test_a_loopback_that_takes_no_connection_is_a_problem(monkeypatch):
    def refuses(*arguments, **options):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(machine.socket, "create_connection", refuses)
    finding = machine.check_port()
    assert finding.level == "problem"
    assert "Connection refused" in finding.text


def test_a_machine_whose_gpu_torch_cannot_see_is_told(monkeypatch):
    import geo_nemo.runtime.gpu  # noqa: F401 - with torch itself, before another is in its place

    monkeypatch.setattr(doctor.os.path, "exists", lambda path: path == "/dev/nvidia0")
    fake = SimpleNamespace(
        __version__="2.13.0+cu130",
        version=SimpleNamespace(cuda="13.0"),
        cuda=SimpleNamespace(is_available=lambda: False),
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    (finding,) = doctor.check_torch()
    assert finding.level == "problem"
    assert "it sees no GPU, though this machine has one" in finding.text


def test_nothing_but_the_asked_for_is_looked_at(tmp_path):
    assert not [f for f in diagnose(tmp_path) if f.topic.startswith("store")]


@pytest.mark.parametrize(("rate", "level"), [(99e6, "note"), (101e6, "ok")])
def test_a_slow_disk_is_told_with_the_time_of_a_checkpoint(rate, level):
    finding = machine.throughput_finding(rate)
    assert finding.level == level
    assert ("takes 3 minutes" in finding.text) == (level == "note")


@pytest.mark.parametrize(
    ("ahead", "level"), [(0.0, "ok"), (1.9, "ok"), (-3.0, "problem"), (2.5, "problem")]
)
def test_the_clock_of_the_output_s_file_system_is_compared(ahead, level):
    finding = machine.clock_finding(ahead)
    assert finding.level == level
    assert (f"{ahead:+.1f} s" in finding.text) == (level == "problem")


def test_a_file_server_whose_clock_is_behind_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PROBE_BYTES", 1 << 20)
    rate, ahead = machine._rate_and_clock(tmp_path)
    assert rate > 0 and abs(ahead) < machine.MOST_SKEW_S
    ours = time.time
    monkeypatch.setattr(machine.time, "time", lambda: ours() + 60)
    _, ahead = machine._rate_and_clock(tmp_path)
    assert -61 < ahead < -59


def driver(version, cuda=None):
    def tell():
        if isinstance(version, Exception):
            raise version
        return version

    return doctor.check_driver(tell, cuda)


def test_drivers_by_their_branch():
    assert driver("580.65.06").level == "ok"
    assert driver("470.199.02").level == "note"
    assert driver("535.104.05", "12.8").level == "ok"
    old = driver("535.104.05", "13.0")
    assert old.level == "note" and "CUDA 13 needs 580 or newer" in old.text and old.mend
    absent = driver(FileNotFoundError(2, "No such file or directory", "nvidia-smi"))
    assert absent.level == "note" and "nvidia-smi" in absent.text


def test_a_tokenizer_is_loaded_and_a_file_that_is_none_is_a_problem(tmp_path):
    from geo_nemo.cli.doctor import check_tokenizer

    path = write_tokenizer(tmp_path, "sentencepiece")
    assert check_tokenizer(path).level == "ok"
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    found = check_tokenizer(broken)
    assert found.level == "problem" and "broken.json" in found.text


def engine(cuda, **installed):
    """What is found where torch is built for `cuda`, and these wheels are there."""

    def version_of(name):
        try:
            return installed[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    return list(doctor.check_engine_cuda(cuda, version_of))


def test_transformer_engine_is_built_for_torch_s_cuda():
    assert engine("13.0") == engine("13.0", transformer_engine="2.9.0") == []
    (found,) = engine("12.8", transformer_engine_cu12="2.9.0")
    assert (found.level, found.mend) == ("ok", "")
    (found,) = engine("13.0", transformer_engine_cu12="2.9.0")
    assert found.level == "problem"
    assert found.text == "transformer-engine-cu12 2.9.0 is built for CUDA 12, and torch for 13.0"
    assert "pip uninstall transformer-engine-cu12;" in found.mend and "core_cu13]" in found.mend
    (found,) = engine("12.9", transformer_engine_cu12="2.9.0", transformer_engine_cu13="2.9.0")
    assert found.level == "problem" and "transformer-engine-cu13 2.9.0" in found.text


def test_a_cuda_build_of_torch_is_compared_with_transformer_engine(monkeypatch):
    fake = SimpleNamespace(
        __version__="2.13.0+cu130",
        version=SimpleNamespace(cuda="13.0"),
        cuda=SimpleNamespace(is_available=lambda: False),
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setattr(doctor.os.path, "exists", lambda path: False)
    asked = []
    monkeypatch.setattr(doctor, "check_engine_cuda", lambda cuda: asked.append(cuda) or [])
    list(doctor.check_torch())
    fake.version.cuda = None
    list(doctor.check_torch())
    assert asked == ["13.0"]


def test_the_port_of_the_job_is_among_the_findings(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "no port")
    status, out = run("--output", str(tmp_path), "--json")
    (found,) = (f for f in json.loads(out)["findings"] if f["topic"] == "rendezvous")
    assert status == 1 and "MASTER_PORT=no port is no port" in found["text"] and found["mend"]
