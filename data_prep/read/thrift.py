"""Thrift's compact protocol, as far as Parquet's headers need it."""

from collections.abc import Callable
from typing import Any

MAX_DEPTH = 12
_BINARY, _LIST, _SET, _STRUCT = 8, 9, 10, 12


class Compact:
    """Reads values one after another; IndexError where the data end or make no sense."""

    def __init__(self, data: bytes, at: int = 0):
        self.at = at
        self._data = data

    def struct(
        self, depth: int = 0, each: dict[int, Callable[[Any], Any]] | None = None
    ) -> dict[int, Any]:
        """Fields by number: integers, bytes, lists and structs; the others are None.

        each: by field that is a list, what is kept of each of its items.
        """
        if depth > MAX_DEPTH:
            raise IndexError
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._integer()
            keep = each.get(number) if each else None
            fields[number] = self._value(kind, depth, keep)
        return fields

    def _value(self, kind: int, depth: int, keep: Callable[[Any], Any] | None = None) -> Any:
        if kind in (4, 5, 6):
            return self._integer()
        if kind == _BINARY:
            size = self._varint()
            self._skip(size)
            return self._data[self.at - size : self.at]
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            if count > len(self._data) - self.at or depth > MAX_DEPTH:
                raise IndexError
            item = 3 if head & 15 in (1, 2) else head & 15
            if keep is None:
                return [self._value(item, depth + 1) for _ in range(count)]
            return [keep(self._value(item, depth + 1)) for _ in range(count)]
        if kind in (1, 2):
            return None
        if kind in (3, 7):
            self._skip(1 if kind == 3 else 8)
            return None
        raise IndexError

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise IndexError

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
