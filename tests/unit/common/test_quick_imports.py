"""Garbage is looked for again after an import, however it ends, where it was before."""

import gc

import pytest

from geo_nemo.common.imports import quick_imports


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_as_it_was(on):
    (gc.enable if on else gc.disable)()
    try:
        with pytest.raises(ModuleNotFoundError), quick_imports():
            assert not gc.isenabled()
            import geo_nemo_is_not_there  # noqa: F401
        assert gc.isenabled() == on
    finally:
        gc.enable()
