"""Lets Transformer Engine's own Python import here, when somebody imports it.

Its compiled half is the package transformer_engine_torch beside this one; of Triton, whose kernels
nothing here calls, there are names alone.
"""

import importlib.abc
import importlib.machinery
import sys
import types


def install() -> None:
    """Wait for the first import."""
    sys.meta_path.insert(0, _Before())


class _Before(importlib.abc.MetaPathFinder):
    """Finds nothing itself: `transformer_engine.common` is there by then, and is made ready."""

    def find_spec(self, name, path, target=None):
        if name == "transformer_engine.pytorch":
            sys.meta_path.remove(self)
            sys.modules["transformer_engine.common"].load_framework_extension = _loaded
            _name_triton()
        return None


def _loaded(framework: str) -> None:
    """Nothing to load: the stand-in is found by its name."""


class _Anything:
    """What a Triton kernel is written with, and its decorators, which keep the function."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __call__(self, *args, **kwargs):
        decorates = len(args) == 1 and callable(args[0]) and not kwargs
        return args[0] if decorates else _Anything()

    def __getitem__(self, grid):
        return _Anything()

    def __or__(self, other):
        return _Anything()

    __ror__ = __or__


class _Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()


def _name_triton() -> None:
    # torch asks once whether Triton is there, and must not find these.
    import torch._dynamo  # noqa: F401
    import torch._inductor  # noqa: F401
    import torch._inductor.runtime.triton_compat  # noqa: F401

    for name in ("triton", "triton.language", "triton.language.standard", "triton.language.core",
                 "triton.language.extra", "triton.runtime"):  # fmt: skip
        module = _Module(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        module.__version__ = "3.6.0"
        sys.modules[name] = module
