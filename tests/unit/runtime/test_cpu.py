"""The CPU runtime: AdamW is torch's, and nothing outside Megatron-Core is touched."""

import ast
import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.command import SMALL

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", autouse=True)
def installed(single_process):
    from geo_nemo.runtime import cpu

    cpu.install()
    return cpu


def two_sets_of_parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(7, 5), (11,), (3, 4, 2), (1,)]
    made = [torch.randn(shape, generator=generator) for shape in shapes]
    return [[torch.nn.Parameter(w.clone()) for w in made] for _ in range(2)]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_twenty_steps_equal_those_of_torch_bit_for_bit(installed, weight_decay):
    """With a rate that changes, and gradients over six decades."""
    ours, theirs = two_sets_of_parameters()
    settings = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": weight_decay}
    one = installed.GroupStepAdam(ours, lr=1e-2, **settings)
    other = torch.optim.AdamW(theirs, lr=1e-2, fused=True, **settings)
    plain_params = [torch.nn.Parameter(w.detach().double()) for w in ours]
    plain = torch.optim.AdamW(plain_params, lr=1e-2, foreach=False, fused=False, **settings)
    generator = torch.Generator().manual_seed(1)
    for step in range(20):
        for optimizer in (one, other, plain):
            optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 40)
        for triple in zip(ours, theirs, plain_params, strict=True):
            gradient = torch.randn(triple[0].shape, generator=generator) * 10.0 ** (step % 6 - 3)
            for parameter in triple:
                parameter.grad = gradient.to(parameter.dtype)
        for optimizer in (one, other, plain):
            optimizer.step()
    assert one.param_groups[0]["step"] == 20
    for mine, torchs, exact in zip(ours, theirs, plain_params, strict=True):
        assert torch.equal(mine, torchs)
        # fp32 of values of size 1: 20 updates, each rounded at 6e-8.
        assert (mine.double() - exact).abs().max() < 2e-6


def test_a_state_that_was_saved_and_loaded_goes_on_alike(installed):
    ours, theirs = two_sets_of_parameters()
    one = installed.GroupStepAdam(ours, lr=1e-2, weight_decay=0.1)
    for parameter in ours:
        parameter.grad = torch.ones_like(parameter)
    one.step()
    for mine, twin in zip(ours, theirs, strict=True):
        twin.data.copy_(mine.data)
        twin.grad = mine.grad.clone()
    other = installed.GroupStepAdam(theirs, lr=1e-2, weight_decay=0.1)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for optimizer in (one, other):
        optimizer.step()
        optimizer.step()
    assert one.param_groups[0]["step"] == other.param_groups[0]["step"] == 3
    for mine, twin in zip(ours, theirs, strict=True):
        assert torch.equal(mine, twin)


def test_a_parameter_without_a_gradient_stays(installed):
    (ours, _) = two_sets_of_parameters()
    before = [w.detach().clone() for w in ours]
    optimizer = installed.GroupStepAdam(ours, lr=1e-2, weight_decay=0.1)
    ours[1].grad = torch.ones_like(ours[1])
    optimizer.step()
    for index, (now, then) in enumerate(zip(ours, before, strict=True)):
        assert torch.equal(now, then) == (index != 1)


@pytest.mark.parametrize("setting", [{"adam_w_mode": False}, {"capturable": True}])
def test_what_a_cpu_does_not_do_is_refused(installed, setting):
    """The L2 form of weight decay, and steps inside CUDA graphs."""
    with pytest.raises(ValueError, match=r"decoupled weight decay .* alone, and no CUDA graphs"):
        installed.GroupStepAdam([torch.nn.Parameter(torch.ones(1))], **setting)


@pytest.mark.skipif(torch.cuda.is_available(), reason="looks at a machine without a GPU")
def test_torch_itself_is_as_it_was(installed):
    with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|NVIDIA"):
        torch.cuda.current_device()
    with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|NVIDIA"):
        torch.zeros(1, device="cuda")
    with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|NVIDIA"):
        torch.ones(1).cuda()
    assert torch.ones(1).type() == "torch.FloatTensor"
    assert torch.optim.AdamW.__module__ == "torch.optim.adamw"


def test_megatron_s_modules_see_the_cpu(installed):
    from megatron.core.optimizer import clip_grads

    assert clip_grads.torch is not torch
    assert clip_grads.torch.cuda.current_device() == torch.device("cpu")
    assert clip_grads.torch.zeros(2, device="cuda").device.type == "cpu"
    assert clip_grads.torch.nn is torch.nn


def test_only_modules_of_megatron_hold_what_was_rebound(installed):
    rebound = [installed.PROXY, installed.PROXY.cuda, installed.GroupStepAdam]
    holders = {
        name
        for name, module in sys.modules.items()
        for value in list(getattr(module, "__dict__", {}).values())
        if any(value is thing for thing in rebound)
    }
    outside = {name for name in holders if not name.startswith("megatron.core")}
    assert outside <= {"geo_nemo.runtime.cpu"}
    assert "megatron.core.optimizer" in holders


def test_a_group_has_what_fused_adam_asks_for(installed):
    """A checkpoint keeps it: a run that began on a CPU may go on on a GPU."""
    (parameters, _) = two_sets_of_parameters()
    (group,) = installed.GroupStepAdam(parameters).param_groups
    assert group["bias_correction"] is True


def test_transformer_engine_and_apex_are_not_imported_where_they_are_installed(
    tiny_store, tmp_path
):
    for name in ("transformer_engine", "apex", "amp_C"):
        package = tmp_path / "installed" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('it was imported')")
    settings = (*SMALL, "train.steps=2", "train.warmup_steps=1", "train.micro_batch_size=4")
    done = subprocess.run(
        [sys.executable, "-m", "geo_nemo", "train", *settings, "device=cpu",
         f"data.store={tiny_store}", f"output_dir={tmp_path / 'run'}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_training_imports_neither_compilers_nor_loggers(tiny_store, tmp_path):
    settings = (*SMALL, "train.steps=2", "train.warmup_steps=1", "train.micro_batch_size=4")
    (tmp_path / "run.py").write_text(
        "import sys\n"
        "from geo_nemo.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    import torch\n"
        "    unused = {'torch._dynamo', 'torch._inductor', 'wandb', 'tensorboard'}\n"
        "    print(unused & set(sys.modules))\n"
        "    print(torch.compile.__module__)\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", "train", *settings, "device=cpu",
         f"data.store={tiny_store}", f"output_dir={tmp_path / 'run'}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.split("\n")[-3:] == ["set()", "torch", ""], done.stderr[-3000:]


def test_what_megatron_took_from_it_before_is_taken_out(installed, monkeypatch):
    from megatron.core.optimizer import clip_grads
    from megatron.core.tensor_parallel import layers

    monkeypatch.setattr(layers, "HAVE_TE", True, raising=False)
    monkeypatch.setattr(clip_grads, "l2_norm_impl", None)
    monkeypatch.setattr(clip_grads, "multi_tensor_applier", None)
    installed.install()
    assert not layers.HAVE_TE
    assert clip_grads.get_grad_norm_fp32([torch.tensor([3.0, 4.0])]) == 5.0


def test_installing_twice_changes_nothing(installed):
    from megatron.core.optimizer import clip_grads
    from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

    before = clip_grads.clip_grad_by_total_norm_fp32, vars(DistributedOptimizer)["__init__"]
    installed.install()
    assert before == (
        clip_grads.clip_grad_by_total_norm_fp32,
        vars(DistributedOptimizer)["__init__"],
    )


def sources():
    for folder in ("geo_nemo", "data_prep", "eval"):
        yield from (ROOT / folder).rglob("*.py")


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_runtime_the_doctor_and_the_adapters_know_of_the_cpu_module():
    users = {
        path.relative_to(ROOT).parts[:2]
        for path in sources()
        if any(
            name.startswith("geo_nemo.runtime.cpu") for name in imports(ast.parse(path.read_text()))
        )
    }
    folders = ("runtime", "diagnostics", "integrations")
    assert users == {("geo_nemo", folder) for folder in folders}


def test_no_other_file_sets_an_attribute_of_a_megatron_or_torch_module():
    """Assignments and setattr on an imported module. One is known: the queue for the results of a
    save, which serves every device."""
    found = set()
    for path in sources():
        if path.name == "cpu.py":
            continue
        tree = ast.parse(path.read_text())
        modules = {
            (alias.asname or alias.name).split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            and (getattr(node, "module", None) or node.names[0].name).split(".")[0]
            in ("megatron", "torch")
            for alias in node.names
        }
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "setattr",
                "delattr",
            ):
                targets = [ast.Attribute(node.args[0], ast.unparse(node.args[1]))]
            for target in targets:
                if isinstance(target, ast.Attribute):
                    root = target.value
                    while isinstance(root, ast.Attribute):
                        root = root.value
                    if isinstance(root, ast.Name) and root.id in modules:
                        found.add((path.name, f"{ast.unparse(target.value)}.{target.attr}"))
    assert found == set()
