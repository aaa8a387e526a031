"""A CUDA library without the code of every chip but one: what is not loaded becomes zeros.

A library holds containers of programs (fat binaries). A container is a header of 16 bytes and
entries one behind the other; an entry is a header, which says the kind of program and the chip, and
the program. Places stay as they are, so that nothing else in the library changes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = struct.pack("<I", 0xBA55ED50)
_CONTAINER = struct.Struct("<IHHQ")  # magic, version, size of this header, size of what follows
_ENTRY = struct.Struct("<HHIQ")  # kind, version, size of this header, size of the program
_CHIP_AT = 28  # in an entry's header, a u32: 90 is compute capability 9.0
_VERSION, _CUBIN = 1, 2


@dataclass(frozen=True)
class Program:
    """kind: 2 is machine code, 1 is PTX. chip: 90 for 9.0. start, end: of its bytes."""

    kind: int
    chip: int
    start: int
    end: int


def containers(library: bytearray) -> Iterator[list[Program]]:
    """The programs of each container."""
    at = library.find(_MAGIC)
    while at >= 0:
        _, version, header, size = _CONTAINER.unpack_from(library, at)
        end = at + header + size
        if version != _VERSION or header != _CONTAINER.size or end > len(library):
            at = library.find(_MAGIC, at + 4)  # the same four bytes by chance
            continue
        yield list(_programs(library, at + header, end))
        at = library.find(_MAGIC, end)


def _programs(library: bytearray, at: int, end: int) -> Iterator[Program]:
    while at + _CHIP_AT + 4 <= end:
        kind, _, header, size = _ENTRY.unpack_from(library, at)
        (chip,) = struct.unpack_from("<I", library, at + _CHIP_AT)
        if header < _CHIP_AT + 4 or at + header + size > end:
            raise ValueError(f"no entry of a fat binary at byte {at}: another format")
        yield Program(kind, chip, at + header, at + header + size)
        at += header + size


def prune(library: bytearray, chip: int) -> tuple[int, int]:
    """Zero the programs of other chips, in place; how many bytes were zeroed, and how many kept.

    A container without code for `chip` stays whole.
    """
    zeroed = kept = 0
    for programs in containers(library):
        ours = [each for each in programs if each.kind == _CUBIN and each.chip == chip]
        for each in programs:
            size = each.end - each.start
            if ours and each not in ours:
                library[each.start : each.end] = bytes(size)
                zeroed += size
            else:
                kept += size
    return zeroed, kept
