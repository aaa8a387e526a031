"""A checkpoint from elsewhere cannot run code, nor change anything in this process."""

import io
import os
import pickle
import shutil
from enum import Enum

import pytest
import torch
import torch.distributed.checkpoint.filesystem as torch_filesystem
from torch.distributed.checkpoint import FileSystemReader, metadata, planner

from geo_nemo.config import UserError
from geo_nemo.train.checkpoint.files import RECORD, file_record, read_record, write_record
from geo_nemo.train.checkpoint.load import read_state
from geo_nemo.train.checkpoint.safe_pickle import check_index, weights_only
from tests.support.runs import finished, trainer
from tests.support.tiny import tiny_run


class Reduced:
    """Pickles as a call of `function` with `arguments`, and `state` set on what comes out."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


def names(module: str, name: str) -> bytes:
    """Opcodes that put `module.name` on the stack."""
    return f"c{module}\n{name}\n".encode()


STATE = b"(dVstrided\nVx\ns"  # {"strided": "x"}
SLOTS = b"(N(dV__hash__\n" + names("torch", "Size") + b"st"  # (None, {"__hash__": torch.Size})
CHECKPOINT = "torch.distributed.checkpoint"
EVIL = {
    "system": lambda target: pickle.dumps(Reduced(os.system, f"touch {target}")),
    "eval": lambda target: pickle.dumps(Reduced(eval, f"open({str(target)!r}, 'w')")),
    "the module os, by way of torch's module": lambda target: (
        names(f"{CHECKPOINT}.filesystem", "os") + b"(dVgetcwd\n" + names("torch", "Size") + b"sb."
    ),
    "a dotted name": lambda target: (
        b"\x80\x04"
        + b"\x8c\x26"
        + f"{CHECKPOINT}.filesystem".encode()
        + b"\x8c\x09os.system\x93"
        + b"\x8c\x02id\x85R."
    ),
    "open, by way of a reader": lambda target: pickle.dumps(Reduced(FileSystemReader, "/etc")),
    "a function of torch's module": lambda target: pickle.dumps(
        Reduced(torch_filesystem._generate_uuid)
    ),
    "reduce of functools": lambda target: names(f"{CHECKPOINT}.planner", "reduce") + b".",
    "the layouts' cache": lambda target: (
        names("torch.serialization", "_get_layout") + b"(dVcache\n" + STATE + b"sb."
    ),
    "an attribute set on a class": lambda target: (
        names(f"{CHECKPOINT}.metadata", "Metadata") + SLOTS + b"b."
    ),
    "an attribute set through slots": lambda target: (
        names(f"{CHECKPOINT}.metadata", "Metadata") + b")\x81" + SLOTS + b"b."
    ),
    "a layout that is no word": lambda target: (
        names("torch.serialization", "_get_layout") + b"(Nt" + b"R."
    ),
    "a place outside the folder": lambda target: pickle.dumps(
        metadata.Metadata(
            {},
            storage_data={
                metadata.MetadataIndex("w"): torch_filesystem._StorageInfo("../other.distcp", 0, 9)
            },
        )
    ),
    "an attribute of a record": lambda target: pickle.dumps(
        Reduced(getattr, metadata.Metadata, "X")
    ),
    "an enumeration's method": lambda target: pickle.dumps(
        Reduced(getattr, planner.WriteItemType, "mro")
    ),
    "an enumeration's inner attribute": lambda target: pickle.dumps(
        Reduced(getattr, planner.WriteItemType, "__class__")
    ),
    "an attribute and another in its place": lambda target: pickle.dumps(
        Reduced(getattr, planner.WriteItemType, "X", os.system)
    ),
    "getattr of getattr": lambda target: pickle.dumps(Reduced(getattr, getattr, "X")),
    "a member alone": lambda target: pickle.dumps(
        Reduced(getattr, planner.WriteItemType, "BYTE_IO")
    ),
    "a number": lambda target: pickle.dumps(7),
    "a class instead of an index": lambda target: pickle.dumps(metadata.Metadata),
    "nothing": lambda target: b"",
    "zeros": lambda target: bytes(64),
}


@pytest.fixture(scope="module")
def checkpoint(tiny_store, tmp_path_factory, single_process):
    made = finished(tiny_store, tmp_path_factory.mktemp("run"))
    return made.directory / "step_00000006"


@pytest.mark.parametrize("attack", EVIL)
def test_a_foreign_index_is_refused_and_nothing_of_it_runs(attack, tmp_path):
    target = tmp_path / "was_here"
    path = tmp_path / ".metadata"
    path.write_bytes(EVIL[attack](target))
    before = os.getcwd, metadata.Metadata.__hash__, dict(vars(torch.serialization._get_layout))

    with pytest.raises(UserError) as refused:
        check_index(path)

    assert not target.exists()
    assert before == (
        os.getcwd,
        metadata.Metadata.__hash__,
        dict(vars(torch.serialization._get_layout)),
    )
    assert str(refused.value).startswith(f"{path} is not a checkpoint index, so it is not loaded:")
    assert "\n" not in str(refused.value)


def test_the_index_that_torch_writes_is_taken(checkpoint):
    check_index(checkpoint / ".metadata")


def every_type(folder) -> metadata.Metadata:
    """An index with what a run on one CPU does not write too: other dtypes, paths, loose bytes."""
    properties = metadata.TensorProperties(dtype=torch.bfloat16)
    chunk = metadata.ChunkStorageMetadata(torch.Size([0]), torch.Size([4]))
    return metadata.Metadata(
        {
            "w": metadata.TensorStorageMetadata(properties, torch.Size([4]), [chunk]),
            "b": metadata.BytesStorageMetadata(),
        },
        planner_data=[
            planner.SavePlan(
                [
                    planner.WriteItem(
                        metadata.MetadataIndex("b", None, 3),
                        planner.WriteItemType.BYTE_IO,
                        bytes_io_data=planner.BytesIOWriteData(5),
                    )
                ]
            )
        ],
        storage_data={
            metadata.MetadataIndex("w", [0]): torch_filesystem._StorageInfo("__0_0.distcp", 0, 9)
        },
        storage_meta=metadata.StorageMeta(checkpoint_id=folder),
    )


def test_every_type_of_an_index_is_known(tmp_path):
    index, path = every_type(tmp_path), tmp_path / ".metadata"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        if protocol < 2:
            continue  # torch writes the default protocol; older ones name copyreg
        path.write_bytes(pickle.dumps(index, protocol=protocol))
        check_index(path)


def test_an_index_written_by_python_3_11_2_is_taken(tmp_path):
    """Debian 12's Python: members of enumerations are getattr(enumeration, name) until 3.11.4."""

    class Pickler(pickle.Pickler):
        def reducer_override(self, made):
            return (getattr, (type(made), made.name)) if isinstance(made, Enum) else NotImplemented

    path = tmp_path / ".metadata"
    with path.open("wb") as file:
        Pickler(file).dump(every_type(tmp_path))
    assert b"getattr" in path.read_bytes()
    check_index(path)
    with path.open("rb") as file:
        assert pickle.load(file) == every_type(tmp_path)


def test_a_pickle_inside_a_shard_does_not_run(checkpoint, tiny_store, tmp_path, single_process):
    """torch reads each entry that is not a tensor with weights_only=False."""
    target = tmp_path / "was_here"
    planted = tmp_path / "checkpoints" / checkpoint.name
    shutil.copytree(checkpoint, planted)
    evil = io.BytesIO()
    torch.save(Reduced(os.system, f"touch {target}"), evil)
    with (planted / ".metadata").open("rb") as file:
        index = pickle.load(file)
    entries = [i for i in index.storage_data if "_extra_state" in i.fqn]
    assert entries
    for entry in entries:
        index.storage_data[entry] = torch_filesystem._StorageInfo(
            "evil.distcp", 0, len(evil.getvalue())
        )
    (planted / "evil.distcp").write_bytes(evil.getvalue())
    (planted / ".metadata").write_bytes(pickle.dumps(index))
    seal(planted)

    made = trainer(tiny_run(tiny_store, tmp_path))
    made.resume()  # never asks for these entries
    assert made.step == 6
    assert not target.exists()

    with pytest.raises(
        UserError, match=f"the checkpoint {planted} does not load: an entry holds posix.system,"
    ):
        read_state({"model": made.engine.module.sharded_state_dict()}, planted)

    assert not target.exists()


def seal(checkpoint):
    """A record that lists what lies there, as whoever plants a file would write it."""
    content = read_record(checkpoint)
    content.pop("files")
    content.pop("format")
    (checkpoint / RECORD).unlink()
    write_record(checkpoint, content, {p.name: file_record(p) for p in checkpoint.iterdir()})


def test_torch_loads_as_before_once_the_checkpoint_is_read(monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    with weights_only():
        assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
        assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
