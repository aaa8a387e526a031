"""Reads a checkpoint's weights, whole and in fp32, a few parameters at a time.

No model is built, its parameters need not fit into memory together, and neither Megatron-Core nor a
process group takes part: torch's reader of distributed checkpoints is asked for boxes of tensors.
"""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import torch
from torch.distributed.checkpoint import FileSystemReader, LoadPlan
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import ReadItem
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from geo_nemo.config import Model, UserError
from geo_nemo.config.average import Weights
from geo_nemo.model.hugging_face_names import OF_A_LAYER, Parameter, parameter_shape, parameters
from geo_nemo.model.shape import padded_vocab_size
from geo_nemo.train.checkpoint.names import prefix_of
from geo_nemo.train.checkpoint.safe_pickle import check_index, weights_only

READ_BYTES = 1 << 30


class CheckpointWeights:
    """The weights of a checkpoint on disk.

    They are the fp32 ones that the optimizer stepped, where there are such: those of the model are
    these, rounded to its type. Raises `UserError` where they are not of the model's shape.
    """

    def __init__(self, checkpoint: Path, model: Model, vocab_size: int, weights: Weights):
        self._checkpoint = checkpoint
        self._num_layers = model.num_layers
        padded = padded_vocab_size(model, vocab_size)
        # Whole; of one layer, where a parameter is of the layers.
        self._shapes = {
            name: parameter_shape(model, name, padded)
            for name in dict.fromkeys(each.name for each in parameters(model))
        }
        check_index(checkpoint / ".metadata")
        self._reader = FileSystemReader(checkpoint)
        index = self._reader.read_metadata()
        self._reader.set_up_storage_reader(index, is_coordinator=True)
        self._stored = index.state_dict_metadata
        self._prefix = prefix_of(weights, self._stored)
        for name in self._shapes:
            self._check(name)

    def read(self, wanted: Sequence[Parameter]) -> Iterator[tuple[Parameter, torch.Tensor]]:
        """Each parameter whole, fp32 on the CPU, with the padding of the vocabulary."""
        for group in self._groups(wanted):
            into = _Into()
            plan = [item for each in group for item in self._items(each, into)]
            with weights_only():
                self._reader.read_data(LoadPlan(plan), into).wait()
            for each, values in zip(group, into.values, strict=True):
                yield each, values.view(self._shapes[each.name])

    def _groups(self, wanted: Sequence[Parameter]) -> Iterator[list[Parameter]]:
        """What is read at once, up to READ_BYTES."""
        group, size = [], 0
        for each in wanted:
            nbytes = 4 * prod(self._shapes[each.name])
            if group and size + nbytes > READ_BYTES:
                yield group
                group, size = [], 0
            group.append(each)
            size += nbytes
        if group:
            yield group

    def _items(self, parameter: Parameter, into: "_Into") -> list[ReadItem]:
        """What is to be read of which files, and a place for it in `into`."""
        key, shape = self._key(parameter.name), self._shapes[parameter.name]
        first = (0,) * len(shape)
        if parameter.layer is not None:  # layers are the first dimension
            first, shape = (parameter.layer, *first), (1, *shape)
        box = ChunkStorageMetadata(torch.Size(first), torch.Size(shape))
        items = create_read_items_for_chunk_list(key, self._stored[key], [box])
        into.add(key, first, shape)
        return items

    def _key(self, name: str) -> str:
        return f"{self._prefix}.{name}" if self._prefix else name

    def _check(self, name: str) -> None:
        stored = self._stored.get(self._key(name))
        layers = (self._num_layers,) if name in OF_A_LAYER else ()
        expected = [*layers, *self._shapes[name]]
        if not isinstance(stored, TensorStorageMetadata):
            problem = "is missing"
        elif list(stored.size) != expected:
            problem = f"has the shape {list(stored.size)}, where its record tells of {expected}"
        else:
            return
        raise UserError(
            f"{self._checkpoint}: {self._key(name)} {problem}: it is not a checkpoint of its run"
        )


class _Into:
    """Where boxes of tensors are read to: what torch's reader asks of a planner.

    values: fp32, in the order in which places were added; not a number until they are read.
    """

    def __init__(self):
        self.values: list[torch.Tensor] = []
        self._places: dict[tuple[str, tuple[int, ...]], torch.Tensor] = {}

    def add(self, key: str, first: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.values.append(torch.full(shape, torch.nan))
        self._places[key, first] = self.values[-1]

    def resolve_tensor(self, item: ReadItem) -> torch.Tensor:
        """The part of a place that an item fills."""
        index = item.dest_index
        place = self._places[index.fqn, tuple(index.offset)]
        spans = zip(item.dest_offsets, item.lengths, strict=True)
        return place[tuple(slice(start, start + length) for start, length in spans)]

    def commit_tensor(self, item: ReadItem, tensor: torch.Tensor) -> None:
        """Nothing is left to do: the part is a view."""
