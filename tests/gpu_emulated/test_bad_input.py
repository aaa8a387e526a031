"""A first kernel tells of a library without code for the chip (geo_nemo.runtime.gpu)."""

import torch

NO_IMAGE = "CUDA Error: no kernel image is available for execution on the device"


def test_a_library_without_code_for_the_chip_is_named(kernels, monkeypatch):
    from transformer_engine.pytorch.ops.basic import rmsnorm

    from geo_nemo.runtime.gpu import first_kernels, import_engine

    device = torch.device("cuda", 0)
    assert import_engine() is None and first_kernels(device) is None

    def refused(*args, **kwargs):
        raise RuntimeError(f"rmsnorm_api.cpp:85 in function rmsnorm_fwd: {NO_IMAGE}")

    monkeypatch.setattr(rmsnorm, "rmsnorm_fwd", refused)
    found = first_kernels(device)
    assert found.text == "Transformer Engine has no code for Emulated H100 (sm_90)"
