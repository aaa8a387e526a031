"""Apex where it is absent, present, half built, or another project: what follows it, and how."""

import sys
from types import SimpleNamespace

import pytest
import torch

from geo_nemo.runtime.apex import KERNEL, apex_kind, check_apex, kernel_problem, output_layer_fuses
from tests.support.batches import ragged_batches
from tests.support.tiny import VOCAB_SIZE, tiny_run


def accumulate(inputs, output_gradient, main_gradient):
    """As Apex's wgrad_gemm_accum_fp32: [t, i] and [t, o] in 16 bits, added to fp32 [o, i]."""
    main_gradient.addmm_(output_gradient.t().float(), inputs.float())


PRESENT = SimpleNamespace(wgrad_gemm_accum_fp32=accumulate)


@pytest.fixture
def layers(single_process):
    from megatron.core.tensor_parallel import layers

    return layers


def installed(tmp_path, monkeypatch, *folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").write_text("raise RuntimeError('it was imported')")
    monkeypatch.delitem(sys.modules, "apex", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_kind_of_what_is_installed(tmp_path, monkeypatch):
    assert apex_kind() == "absent"
    installed(tmp_path, monkeypatch, "apex", "apex/lib", "apex/scaffolds")
    assert apex_kind() == "another"
    (tmp_path / "apex" / "multi_tensor_apply").mkdir()
    assert apex_kind() == "nvidia"


def test_the_kernel_is_asked_for_by_an_import(tmp_path, monkeypatch):
    assert kernel_problem() == "is not there"
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / f"{KERNEL}.py"
    module.write_text("raise ImportError('undefined symbol: _ZN3c10')")
    assert kernel_problem() == "does not import: undefined symbol: _ZN3c10"
    module.write_text("")
    assert kernel_problem() == "is not Apex's"
    monkeypatch.setitem(sys.modules, KERNEL, PRESENT)
    assert kernel_problem() == ""


def test_the_doctor_tells_each_kind(tmp_path, monkeypatch):
    assert (check_apex().level, check_apex().text.startswith("absent")) == ("note", True)
    installed(tmp_path, monkeypatch, "apex")
    assert "another project" in check_apex().text and "pip uninstall" in check_apex().mend
    (tmp_path / "apex" / "multi_tensor_apply").mkdir()
    monkeypatch.setitem(sys.modules, KERNEL, None)
    assert check_apex().level == "note" and "without its kernel" in check_apex().text
    monkeypatch.setitem(sys.modules, KERNEL, PRESENT)
    assert (check_apex().level, check_apex().mend) == ("ok", "")


@pytest.mark.parametrize("kernel", [None, PRESENT], ids=["absent", "present"])
@pytest.mark.parametrize("found", [False, True], ids=["not found", "found"])
def test_the_output_layer_follows_both_the_kernel_and_megatron(layers, monkeypatch, kernel, found):
    monkeypatch.setitem(sys.modules, KERNEL, kernel)
    monkeypatch.setattr(layers, "_grad_accum_fusion_available", found)
    assert output_layer_fuses() == (kernel is not None and found)


@pytest.mark.parametrize("kernel", [None, PRESENT], ids=["absent", "present"])
@pytest.mark.parametrize("tied", [False, True], ids=["two matrices", "tied embeddings"])
def test_gradients_are_the_same_with_and_without(layers, monkeypatch, kernel, tied):
    """As on a GPU: bf16 with fp32 buffers, the output layer's gradient added by the kernel."""
    from geo_nemo.train.engine import Engine
    from geo_nemo.train.parts import fuse_gradient_accumulation

    run = tiny_run("store", "out", precision={"dtype": "bf16"})
    model = run.model.model_copy(update={"share_embeddings_and_output_weights": tied})
    engine = Engine(run.model_copy(update={"model": model}), VOCAB_SIZE, 3, torch.device("cpu"))
    batches = ragged_batches(seed=3, vocab_size=VOCAB_SIZE)
    calls = []

    def counted(*arguments):
        calls.append(arguments[2].shape)
        accumulate(*arguments)

    def gradients():
        engine.zero_gradients()
        engine.forward_backward(batches)
        return {name: w.main_grad.clone() for name, w in engine.module.named_parameters()}

    apart = gradients()
    monkeypatch.setitem(sys.modules, KERNEL, kernel)
    stand_in = SimpleNamespace(wgrad_gemm_accum_fp32=counted)
    monkeypatch.setattr(layers, "fused_weight_gradient_mlp_cuda", stand_in)
    output = engine.module.output_layer
    others = [m for m in engine.module.modules() if m is not output]
    monkeypatch.setattr(engine.module, "modules", lambda: iter([output]), raising=False)
    fused = fuse_gradient_accumulation([engine.module])
    assert fused == (0, int(kernel is not None))
    assert output.gradient_accumulation_fusion == (kernel is not None)
    assert not any(getattr(m, "gradient_accumulation_fusion", False) for m in others)
    monkeypatch.undo()
    monkeypatch.setattr(layers, "fused_weight_gradient_mlp_cuda", stand_in)
    for name, added in gradients().items():
        error = float((added - apart[name]).norm() / apart[name].norm())
        assert error < 0.01, name  # a micro-batch's gradient is rounded to bf16 without it
    assert len(calls) == (len(batches) if kernel is not None else 0)


def test_layers_of_transformer_engine_need_no_apex(monkeypatch, layers):
    from geo_nemo.train.parts import fuse_gradient_accumulation

    monkeypatch.setitem(sys.modules, KERNEL, None)
    layer = torch.nn.Linear(2, 2)
    layer.fuse_wgrad_accumulation = False
    assert fuse_gradient_accumulation([torch.nn.Sequential(layer)]) == (1, 0)
    assert layer.fuse_wgrad_accumulation
