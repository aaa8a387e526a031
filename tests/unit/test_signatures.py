"""Every call into Megatron-Core, Transformer Engine and torch.distributed, against their sources.

The CPU path makes few of those that a GPU's path makes, and tests run one version. Here the calls
are read, and held against what the packages define: those that are installed, and with
GEO_NEMO_WHEELS=FOLDER every wheel there (`make test-signatures`). Transformer Engine is asked for
little by this project, and for much by Megatron-Core: pairs of their versions are read too.
"""

import ast
import os
import re
import textwrap
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from geo_nemo.config import Model, Parallel, Precision
from geo_nemo.config.precision import FP8
from geo_nemo.model.build import ddp_settings, transformer_settings
from geo_nemo.model.fp8 import optimizer_fp8
from tests.support.signatures import Call, Use, complaint, parameters, uses
from tests.support.sources import Defined, Sources, dotted_of

ROOT = Path(__file__).parents[2]
MEGATRON, TORCH, ENGINE = "megatron", "torch", "transformer_engine"
ASKED = ("megatron.core", "torch.distributed", ENGINE)

# Methods of objects that another call gives: where ours are called, and whose they are.
OPTIMIZER = "megatron.core.optimizer.optimizer.MegatronOptimizer"
SHARED = "megatron.core.optimizer.distrib_optimizer.DistributedOptimizer"
WRAPPER = "megatron.core.distributed.DistributedDataParallel"
QUANTIZED = "transformer_engine.pytorch.tensor.QuantizedTensor"
REACHED = (
    ("train/parts.py", "initialize_state", "transformer_engine.pytorch.optimizers.FusedAdam"),
    ("train/checkpoint/fp8_state.py", "init_fp8_meta_tensors",
     "transformer_engine.pytorch.module.base.TransformerEngineBaseModule"),
    ("train/checkpoint/fp8_state.py", "dequantize", QUANTIZED),
    ("train/engine.py", "prepare_grads", OPTIMIZER),
    ("train/engine.py", "step_with_ready_grads", OPTIMIZER),
    ("train/engine.py", "zero_grad", OPTIMIZER),
    ("train/gradients.py", "get_parameters", OPTIMIZER),
    ("train/gradients.py", "get_grad_stats_parallel_group", OPTIMIZER),
    ("train/checkpoint/state.py", "sharded_state_dict", OPTIMIZER),
    ("train/checkpoint/state.py", "_get_main_param_and_optimizer_states", SHARED),
    ("train/engine.py", "no_sync", WRAPPER),
    ("train/engine.py", "zero_grad_buffer", WRAPPER),
    ("train/engine.py", "start_param_sync", WRAPPER),
    ("train/engine.py", "disable_forward_pre_hook", WRAPPER),
    ("train/engine.py", "enable_forward_pre_hook", WRAPPER),
    ("train/gradients.py", "scale_gradients", WRAPPER),
)  # fmt: skip
# What ours reads of Transformer Engine's objects, in the modules that make it.
READ = {
    "attention.dot_product_attention.dot_product_attention": (
        "_attention_backends", '"use_flash_attention"', '"use_fused_attention"',
        '"use_unfused_attention"'),
    "module.base": ("fuse_wgrad_accumulation", "fp8_meta", '"scaling_fwd"', '"scaling_bwd"',
                    '"num_gemms"', "get_high_precision_init_val"),
    "quantization": ("amax_history", "scale"),
}  # fmt: skip

# The parts of Megatron-Core that a GPU's run passes through and that know Transformer Engine.
ENGINE_USERS = (
    "extensions.transformer_engine", "fp8_utils", "fp4_utils", "optimizer", "distributed",
    "models.common.embeddings", "models.gpt", "tensor_parallel", "transformer",
)  # fmt: skip
NOT_OURS = ("fsdp", "cuda_graphs", "moe", "generalized_tensor_parallelism")
# Names that some pair lacks, behind settings that no run here has.
ELSEWHERE = {
    "transformer_engine.pytorch.ops.GroupedLinear": "experts",
    "transformer_engine.pytorch.ops.ScaledSwiGLU": "experts",
}

MODEL = Model(num_layers=4, hidden_size=64, num_attention_heads=4, num_query_groups=2,
              ffn_hidden_size=128)  # fmt: skip

PLANTED = """
    import torch.distributed as dist
    from megatron.core import parallel_state
    from megatron.core.distributed import DistributedDataParallelConfig, is_not_there
    from megatron.core.optimizer import OptimizerConfig

    dist.all_reduce(tensor, grup=None)
    dist.broadcast()
    parallel_state.get_data_parallel_group(True, False, None, None, None, None)
    parallel_state.get_data_parallel_sizes()
    DistributedDataParallelConfig(gradients_in_fp32=True)
    OptimizerConfig(lr=1e-3, bf16=True)
    """


def wheels(package: str) -> list[Path]:
    """Of GEO_NEMO_WHEELS, oldest first."""
    folder = os.environ.get("GEO_NEMO_WHEELS")
    name = {MEGATRON: "megatron_core"}.get(package, package)
    found = Path(folder).glob(f"{name}-*.whl") if folder else []
    return sorted(found, key=lambda path: Version(version_of(path)))


def version_of(place: Path) -> str:
    return place.name.split("-")[1] if place.suffix == ".whl" else version("megatron-core")


def installed(package: str) -> list[Path]:
    """The folder that it is imported from."""
    spec = find_spec("megatron.core" if package == MEGATRON else package)
    above = 2 if package == MEGATRON else 1
    return [Path(spec.origin).parents[above]] if spec and spec.origin else []


def places(*packages: str) -> list:
    return [
        pytest.param(package, place, id=f"{package}-{version_of(place)}"
                     if place.suffix == ".whl" else f"{package}-installed")
        for package in packages
        for place in (*installed(package), *wheels(package))
    ]  # fmt: skip


@cache
def sources(package: str, place: Path) -> Sources:
    return Sources(place, package)


@cache
def asked_by_us() -> tuple[Use, ...]:
    files = sorted((ROOT / "geo_nemo").rglob("*.py"))
    return tuple(
        use
        for path in files
        for use in uses(path.read_text(), path.relative_to(ROOT).as_posix(), ASKED)
    )


def complaints(asked, *given: Sources) -> list[str]:
    found = []
    for use in asked:
        (of,) = [each for each in given if use.wanted[0].startswith(each.package)]
        found.append(complaint(use, of))
    return [each for each in found if each]


@pytest.mark.parametrize(("package", "place"), places(MEGATRON, TORCH, ENGINE))
def test_each_call_of_ours_fits(package, place):
    of = sources(package, place)
    asked = [use for use in asked_by_us() if use.wanted[0].startswith(package)]
    assert asked
    assert complaints(asked, of) == []


def test_calls_are_found_at_all():
    """Of each package, and by way of names, modules, and names of modules."""
    called = {use.wanted[0] for use in asked_by_us() if use.call is not None}
    assert {
        "torch.distributed.all_reduce",
        "megatron.core.optimizer.get_megatron_optimizer",
        "megatron.core.parallel_state.initialize_model_parallel",
        "megatron.core.distributed.DistributedDataParallel",
    } <= called
    assert len(called) > 60


@pytest.mark.parametrize(("package", "place"), places(MEGATRON, ENGINE))
def test_methods_of_their_objects_fit(package, place):
    of = sources(package, place)
    reached = [each for each in REACHED if each[2].startswith(package)]
    assert reached
    for file, method, owner in reached:
        calls = list(_calls_of(ROOT / "geo_nemo" / file, method))
        assert calls, f"{file} calls no {method}: mend REACHED"
        found = of.find(f"{owner}.{method}")
        assert found, f"{owner} has no {method}"
        for call in calls:
            refusals = [_refusal(of, each, call) for each in found]
            assert "" in refusals, f"{file}: {owner}.{method} {refusals[0]}"


def _calls_of(path: Path, method: str):
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == method
        ):
            names = tuple(each.arg for each in node.keywords if each.arg)
            yield Call(len(node.args) + 1, names, False)


def _refusal(of: Sources, found: Defined, call: Call) -> str:
    takes = parameters(of, found)
    return takes.refusal(call) if takes else ""


@pytest.mark.parametrize(("package", "place"), places(ENGINE))
def test_what_is_read_of_their_objects_is_made_there(package, place):
    of = sources(package, place)
    for module, words in READ.items():
        tree = of.tree(f"{ENGINE}.pytorch.{module}")
        assert tree is not None, module
        text = ast.unparse(tree).replace("'", '"')
        assert [word for word in words if word not in text] == [], module


@pytest.mark.parametrize(("package", "place"), places(MEGATRON))
def test_settings_of_every_precision_are_fields(package, place):
    of = sources(package, place)
    precisions = [
        Precision(dtype="bf16", moments=moments, fp8=FP8(recipe=recipe, parameters=parameters_too))
        for recipe in ("none", "delayed", "tensorwise", "blockwise", "mxfp8", "nvfp4")
        for moments in ("fp32", "bf16")
        for parameters_too in (False, recipe not in ("none", "mxfp8", "nvfp4"))
    ]
    parallel = Parallel(tensor=2, pipeline=2, virtual_pipeline=2, distributed_optimizer=True)
    gpu = torch.device("cuda")
    for precision in precisions:
        for name, settings in (
            ("transformer.transformer_config.TransformerConfig",
             transformer_settings(MODEL, parallel, precision, gpu)),
            ("distributed.DistributedDataParallelConfig", ddp_settings(parallel, precision)),
            ("optimizer.OptimizerConfig",
             optimizer_fp8(precision) | dict(use_precision_aware_optimizer=True)),
        ):  # fmt: skip
            use = Use(name, (f"megatron.core.{name}",), Call(0, tuple(settings), True))
            assert complaint(use, of) == ""


@pytest.mark.parametrize(("_", "engine"), places(ENGINE))
@pytest.mark.parametrize(("package", "place"), places(MEGATRON))
def test_each_pair_of_megatron_core_and_transformer_engine_fits(package, place, _, engine):
    theirs, of = sources(package, place), sources(ENGINE, engine)
    if engine.suffix != ".whl":
        pytest.skip("which version this is its folder does not say")
    asked = list(_asked_by_megatron(theirs, of, Version(version_of(engine))))
    assert len(asked) > 40
    assert [
        each for each in complaints(asked, of) if not any(map(each.__contains__, ELSEWHERE))
    ] == []


def _asked_by_megatron(theirs: Sources, of: Sources, engine: Version):
    for module in theirs.modules():
        part = module.removeprefix("megatron.core.")
        if not part.startswith(ENGINE_USERS) or any(word in part for word in NOT_OURS):
            continue
        text = theirs.text(module)
        if ENGINE in text:
            holds = _holds_with(engine)
            yield from uses(text, part, (ENGINE,), holds, lambda names: any(map(of.find, names)))


def _holds_with(engine: Version):
    """Conditions on Transformer Engine's version, as Megatron-Core writes them."""

    def holds(test: ast.expr) -> bool | None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = holds(test.operand)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            known = [holds(each) for each in test.values]
            decides = isinstance(test.op, ast.Or)
            if decides in known:
                return decides
            return None if None in known else not decides
        if dotted_of(test) == "HAVE_TE":
            return True
        if isinstance(test, ast.Call) and dotted_of(test.func) == "is_te_min_version":
            equal = [each.value.value for each in test.keywords if each.arg == "check_equality"]
            least = Version(test.args[0].value)
            return engine >= least if equal != [False] else engine > least
        if isinstance(test, ast.Compare) and ast.unparse(test.left) == "get_te_version()":
            other = Version(test.comparators[0].args[0].value)
            compared = {ast.Lt: engine < other, ast.GtE: engine >= other, ast.Eq: engine == other}
            return compared.get(type(test.ops[0]))
        return None

    return holds


def test_what_is_wrong_is_found():
    given = [sources(package, installed(package)[0]) for package in (MEGATRON, TORCH)]
    found = complaints(uses(textwrap.dedent(PLANTED), "planted.py", ASKED), *given)
    assert [re.sub(r"torch\.distributed\.|megatron\.core\.", "", each) for each in found] == [
        "planted.py:4: distributed.is_not_there is not there",
        "planted.py:7: all_reduce takes no grup",
        "planted.py:8: broadcast asks for tensor",
        "planted.py:9: parallel_state.get_data_parallel_group takes 3 arguments by position, not 6",
        "planted.py:10: parallel_state.get_data_parallel_sizes is not there",
        "planted.py:11: distributed.DistributedDataParallelConfig takes no gradients_in_fp32",
    ]


def test_a_wrong_keyword_in_a_real_file_is_found():
    path = ROOT / "geo_nemo/runtime/distributed.py"
    text = path.read_text()
    planted = text.replace("context_parallel_size=", "context_parallel_sizes=")
    assert planted != text
    of = sources(MEGATRON, installed(MEGATRON)[0])
    asked = [use for use in uses(planted, path.name, ASKED) if use.wanted[0].startswith(MEGATRON)]
    (found,) = complaints(asked, of)
    assert found.endswith("initialize_model_parallel takes no context_parallel_sizes")


def test_the_ways_of_a_package_are_followed(tmp_path):
    """Names through modules and stars, bases, dataclasses, versions, and what may be missing."""
    package = tmp_path / "engine"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from .inner import *\nfrom . import inner\n")
    (package / "inner/__init__.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass

        @dataclass
        class Base:
            first: int
            second: int = 0

        @dataclass
        class Child(Base):
            third: int = 0

        class Layer:
            def __init__(self, size, *, bias): ...

            @classmethod
            def made(cls, size): ...

        def new(tensor, *, group=None): ...
        """)
    )
    text = textwrap.dedent("""
        import engine
        try:
            from engine import not_yet
        except ImportError:
            not_yet = None
        more = {}
        class Ours(engine.Layer):
            def __init__(self):
                extra = {}
                extra["bias"] = True
                if is_te_min_version("2.10"):
                    extra["newer"] = True
                super().__init__(1, **extra)
        engine.inner.Child(1, third=2)
        engine.Child(second=2)
        engine.Layer.made(1)
        engine.Layer(1)
        engine.new(1, group=2)
        engine.new(1, 2)
        not_yet(1)
        if not_yet is not None:
            engine.newest()
        """)
    of = Sources(tmp_path, "engine")
    for engine, newer in (("2.9", []), ("2.12", ["ours:14: engine.Layer takes no newer"])):
        asked = uses(text, "ours", ("engine",), _holds_with(Version(engine)),
                     lambda names: any(map(of.find, names)))  # fmt: skip
        assert complaints(asked, of) == [
            *newer,
            "ours:16: engine.Child asks for first",
            "ours:18: engine.Layer asks for bias",
            "ours:20: engine.new takes 1 arguments by position, not 2",
        ]


def test_versions_of_the_make_target_reach_both_ends():
    """make test-signatures asks for the versions that the documentation names."""
    makefile = (ROOT / "Makefile").read_text()
    for wanted in ("2.9.0", "2.20.2", "0.15.3", "0.19.2", "2.11.0", "2.15.0"):
        assert wanted in makefile
