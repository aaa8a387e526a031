"""Versions of packages as records keep them."""

import pytest

from geo_nemo.common.versions import installed


def test_each_package_has_its_version_and_a_missing_one_is_absent():
    found = installed(["pytest", "no-such-package-of-ours"])
    assert found == {"pytest": pytest.__version__, "no-such-package-of-ours": "absent"}
