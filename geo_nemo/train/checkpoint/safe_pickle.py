"""A look at a checkpoint's index before torch loads it, and a load that runs no pickled code.

torch's distributed checkpoints keep their index (`.metadata`) as a pickle, which torch loads
without asking. Here it is read first with an inert stand-in for each type that an index has, so
that a checkpoint from elsewhere can neither run code nor change a class or function of this
process: whatever the stand-ins refuse to take part in, the real types are never asked.
"""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from geo_nemo.config import UserError

_CHECKPOINT = "torch.distributed.checkpoint."
_RECORDS = {
    "filesystem": ("_StorageInfo", "_StoragePrefix", "StorageMeta"),
    "metadata": (
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
    ),
    "planner": ("BytesIOWriteData", "SavePlan", "TensorWriteData", "WriteItem"),
}
# The index of megatron-core 0.15, which has subclasses of torch's records.
_MEGATRON = "megatron.core.dist_checkpointing.strategies.torch"
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_FORCE_NOT = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


class _Record:
    """Stands for a dataclass of the index: made empty, then given its fields, nothing else."""

    __slots__ = ()
    fields: type = dict

    def __setstate__(self, state: Any) -> None:
        if type(state) is not self.fields:
            raise pickle.UnpicklingError(f"a record has its fields as {type(state).__name__}")


class _Properties(_Record):
    """Stands for TensorProperties, which unpacks a tuple of its own."""

    __slots__ = ()
    fields = tuple


class _Place(_Record):
    """Stands for the place of an item in a file, which must lie in the checkpoint's folder."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        path = state.get("relative_path")
        if not isinstance(path, str) or path != os.path.basename(path) or path in ("", ".", ".."):
            raise pickle.UnpicklingError(f"it points to {path!r}, outside the checkpoint")


class _Plain:
    """Stands for a function or type that makes a plain value from plain arguments."""

    __slots__ = ("kinds",)

    def __init__(self, *kinds: type):
        self.kinds = kinds

    def __call__(self, *arguments: Any) -> None:
        if not all(type(argument) in self.kinds for argument in arguments):
            raise pickle.UnpicklingError("it calls a type with arguments that no index has")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a function or type")


class _Enumeration(_Plain):
    """Stands for an enumeration, called with a member's value."""

    __slots__ = ()


class _Member(_Plain):
    """Stands for getattr, by which Python 3.11.0 to 3.11.3 pickles a member of an enumeration.

    Members have names in capitals, and an enumeration's other attributes do not.
    """

    __slots__ = ()

    def __call__(self, *arguments: Any) -> None:
        if tuple(map(type, arguments)) != (_Enumeration, str):
            raise pickle.UnpicklingError("it reads attributes of what is no enumeration")
        name = arguments[1]
        if not (name.isidentifier() and name.isupper() and not name.startswith("_")):
            raise pickle.UnpicklingError(f"it reads {name!r}, which is no member's name")


_STAND_INS = {
    (_CHECKPOINT + module, name): _Record for module, names in _RECORDS.items() for name in names
} | {
    (_MEGATRON, "MCoreMetadata"): _Record,
    (_MEGATRON, "MCoreSavePlan"): _Record,
    (_CHECKPOINT + "filesystem", "_StorageInfo"): _Place,
    (_CHECKPOINT + "metadata", "TensorProperties"): _Properties,
    (_CHECKPOINT + "metadata", "_MEM_FORMAT_ENCODING"): _Enumeration(int),
    (_CHECKPOINT + "planner", "WriteItemType"): _Enumeration(int),
    ("builtins", "getattr"): _Member(),
    ("torch", "Size"): _Plain(tuple, list),
    ("torch.serialization", "_get_layout"): _Plain(str),
    ("pathlib", "PosixPath"): _Plain(str),
}


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return _Plain()
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no index does")


def check_index(path: Path) -> None:
    """Raise `UserError` unless `path` holds a checkpoint index and nothing else."""
    try:
        with path.open("rb") as file:
            made = _IndexUnpickler(file).load()
        if type(made) is not _Record:
            raise pickle.UnpicklingError(f"it holds {type(made).__name__}")
    except OSError as error:
        raise UserError(f"cannot read the checkpoint index {path}: {error.strerror}") from error
    except Exception as error:
        raise UserError(f"{path} is not a checkpoint index, so it is not loaded: {error}") from None


@contextmanager
def weights_only() -> Iterator[None]:
    """Make torch.load refuse pickled code, also where a caller asks it not to.

    torch's reader of distributed checkpoints asks so for every entry that is not a tensor.
    """
    before = {name: os.environ.pop(name, None) for name in (_FORCE, _FORCE_NOT)}
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        del os.environ[_FORCE]
        os.environ.update({name: value for name, value in before.items() if value is not None})
