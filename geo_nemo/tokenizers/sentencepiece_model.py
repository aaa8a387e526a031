"""The vocabulary in a sentencepiece `.model`, which its own library does not tell in full.

The file is a protobuf message (sentencepiece_model.proto in github.com/google/sentencepiece). The
classes that come with the library want the very major version of protobuf that generated them,
which other packages of a container hold back; the few fields that matter are read here by the rules
of the wire: protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_UNIGRAM, _BPE = 1, 2


class PieceKind(IntEnum):
    """ModelProto.SentencePiece.Type."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    """score: of BPE, less its rank."""

    text: str
    score: float
    kind: PieceKind


class SentencePieceModel(NamedTuple):
    """pieces: by their ids. changes_characters: texts are normalised before they are encoded.

    space_in_front: a text is encoded as if a space stood before it.
    """

    pieces: list[Piece]
    is_bpe: bool
    byte_fallback: bool
    changes_characters: bool
    space_in_front: bool


def parse_model(content: bytes) -> SentencePieceModel:
    """What a file says that sentencepiece has opened."""
    model = list(_fields(content))
    trainer = dict(_fields(dict(model).get(2, b"")))
    normalizer = dict(_fields(dict(model).get(3, b"")))
    return SentencePieceModel(
        pieces=[_piece(dict(_fields(value))) for number, value in model if number == 1],
        is_bpe=trainer.get(3, _UNIGRAM) == _BPE,
        byte_fallback=bool(trainer.get(35, False)),
        changes_characters=bool(normalizer.get(2, b"")),
        space_in_front=bool(normalizer.get(3, True)),
    )


def _piece(fields: dict[int, int | bytes]) -> Piece:
    (score,) = struct.unpack("<f", fields.get(2, bytes(4)))
    return Piece(fields[1].decode(), score, PieceKind(fields.get(3, PieceKind.NORMAL)))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field, in their order."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == _VARINT:
            value, at = _varint(message, at)
        else:
            if key & 7 == _BYTES:
                size, at = _varint(message, at)
            else:
                size = {_FIXED_64: 8, _FIXED_32: 4}[key & 7]
            value, at = message[at : at + size], at + size
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
