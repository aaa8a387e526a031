"""Which parameters are in which file of an export, and what they come to."""

from pathlib import Path
from typing import Literal

import torch

from geo_nemo.config import Model, UserError
from geo_nemo.model.hugging_face_names import Parameter, parameters, tensor_names, tensor_shapes
from geo_nemo.model.safetensors import read_entries

Dtype = Literal["bf16", "fp32"]
FILE_BYTES = 5_000_000_000
_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_NAMES = {torch.bfloat16: "BF16", torch.float32: "F32"}


class Plan:
    """parameters: how many numbers. bytes: of all of them."""

    def __init__(self, model: Model, vocab_size: int, dtype: Dtype):
        self.model = model
        self.vocab_size = vocab_size
        self.dtype = _TYPES[dtype]
        self.shapes = tensor_shapes(model, vocab_size)
        self.parameters = sum(map(self._count, self.shapes))
        self.bytes = self.parameters * self.dtype.itemsize
        self._groups = self._grouped()

    def files(self) -> dict[str, list[Parameter]]:
        """Parameters by the name of their file."""
        count = len(self._groups)
        if count == 1:
            return {"model.safetensors": self._groups[0]}
        return {
            f"model-{number:05d}-of-{count:05d}.safetensors": group
            for number, group in enumerate(self._groups, start=1)
        }

    def size(self, group: list[Parameter]) -> int:
        """Bytes of the tensors of parameters."""
        return sum(self._count(n) for each in group for n in tensor_names(*each)) * (
            self.dtype.itemsize
        )

    def holds(self, path: Path, group: list[Parameter]) -> bool:
        """Whether a file has these parameters' tensors, in this type, whole."""
        try:
            found = read_entries(path)
        except UserError:
            return False
        names = [name for each in group for name in tensor_names(*each)]
        expected = {name: (_NAMES[self.dtype], self.shapes[name]) for name in names}
        return {name: (entry.dtype, entry.shape) for name, entry in found.items()} == expected

    def _count(self, name: str) -> int:
        return torch.Size(self.shapes[name]).numel()

    def _grouped(self) -> list[list[Parameter]]:
        groups, size = [[]], 0
        for each in parameters(self.model):
            nbytes = self.size([each])
            if groups[-1] and size + nbytes > FILE_BYTES:
                groups.append([])
                size = 0
            groups[-1].append(each)
            size += nbytes
        return groups
