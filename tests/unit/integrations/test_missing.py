"""Without NeMo, geo_nemo imports, and an adapter says in one line which extra it needs."""

import importlib
import subprocess
import sys
from importlib.util import find_spec

import pytest

from geo_nemo.config import UserError
from geo_nemo.integrations.missing import MissingPackageError, need


@pytest.mark.parametrize(
    ("adapter", "package", "extra"),
    [
        ("nemo", "nemo", "nemo"),
        ("nemo_run", "nemo_run", "nemo-run"),
        ("bridge", "bridge", "bridge"),
    ],
)
def test_an_adapter_names_its_extra(adapter, package, extra):
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(MissingPackageError) as caught:
        importlib.import_module(f"geo_nemo.integrations.{adapter}")
    assert f"pip install -e '.[{extra}]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_both_a_user_s_mistake_and_an_import_error():
    with pytest.raises(UserError):
        need("geo_nemo.no_such_module", "nothing", "nemo")
    with pytest.raises(ImportError):
        need("geo_nemo.no_such_module", "nothing", "nemo")


def test_what_the_adapters_share_needs_no_nemo():
    code = (
        "import sys, geo_nemo.integrations.run_sequences, geo_nemo.integrations.job\n"
        "assert not {'nemo', 'nemo_run', 'lightning'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
