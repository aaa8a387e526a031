"""A look at a checkpoint's index before torch loads it.

torch's distributed checkpoints keep their index (`.metadata`) as a pickle, which torch loads
without asking. Here it is read first by an unpickler that knows the index's own types and nothing
else, so that a checkpoint from elsewhere cannot run code.
"""

import pickle
from pathlib import Path

import torch

from geo_nemo.config import UserError

_MODULES = (
    "torch.distributed.checkpoint.filesystem",
    "torch.distributed.checkpoint.metadata",
    "torch.distributed.checkpoint.planner",
)
_NAMES = (("torch", "Size"), ("torch.serialization", "_get_layout"), ("pathlib", "PosixPath"))


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        known = (module in _MODULES and name.isidentifier()) or (module, name) in _NAMES
        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if known or dtype:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no index does")


def check_index(path: Path) -> None:
    """Raise `UserError` unless `path` holds a checkpoint index and nothing else."""
    try:
        with path.open("rb") as file:
            _IndexUnpickler(file).load()
    except OSError as error:
        raise UserError(f"cannot read the checkpoint index {path}: {error.strerror}") from error
    except Exception as error:
        raise UserError(f"{path} is not a checkpoint index, so it is not loaded: {error}") from None
