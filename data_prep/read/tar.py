"""Members of a tar archive, in order, from a stream; nothing is ever written to disk.

Links, devices, and names that lead out of the archive are refused, each with a reason. Formats: old
tar, ustar, and the long names of GNU and pax, by tar(5) of FreeBSD.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from data_prep.read.record import DamagedError
from data_prep.read.unpack import Unpacked

BLOCK = 512
# Linux knows no longer path; a header that declares more is an attack.
MAX_NAME_BYTES = 1 << 16
_FILES = (b"0", b"\0", b"7")
# Symbolic links, devices, folders and pipes: no content follows, whatever their size says (POSIX).
_EMPTY = (b"2", b"3", b"4", b"5", b"6")
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device",
    b"6": "a pipe", b"S": "a sparse file", b"M": "a piece of another volume",
}  # fmt: skip


@dataclass(slots=True)
class Member:
    """A file in an archive. refused: why it may not be used, empty where it may."""

    name: str
    size: int
    refused: str = ""


class Tar:
    """Iterates over the members; the content of the one at hand can be read once."""

    def __init__(self, stream: Unpacked):
        self._stream = stream
        self._left = self._padding = 0
        # What is wrong behind the last member, which is whole all the same.
        self.trailing: DamagedError | None = None

    def __iter__(self) -> Iterator[Member]:
        """Folders are passed over. DamagedError where the archive is cut short or damaged."""
        long: dict[str, str] = {}
        every: dict[str, str] = {}
        while (header := self._header()) is not None:
            kind = header[156:157]
            size = 0 if kind in _EMPTY else _number(header[124:136])
            self._left, self._padding = size, -size % BLOCK
            if kind in (b"L", b"K", b"x", b"g"):
                if size > MAX_NAME_BYTES:
                    raise DamagedError("damaged_file", f"{size} bytes of a member's header")
                data = self.read()
                if kind == b"L":
                    long["path"] = _text(data)
                elif kind != b"K":
                    (every if kind == b"g" else long).update(_pax(data))
                continue
            about = every | long
            long = {}
            if "size" in about and kind not in _EMPTY:
                self._left = _decimal(about["size"])
                self._padding = -self._left % BLOCK
            member = Member(about.get("path") or _name(header), self._left)
            if kind != b"5" and not (kind == b"\0" and member.name.endswith("/")):
                sparse = any(name.startswith("GNU.sparse") for name in about)
                member.refused = _refusal(member.name, b"S" if sparse else kind)
                yield member
            self._pass(self._left + self._padding)

    def read(self) -> bytes:
        """The content of the member at hand; its size is for the caller to check before."""
        size, self._left = self._left, 0
        data = self._stream.read(size)
        if len(data) < size:
            raise DamagedError("truncated_file", "the archive ends inside a member")
        self._pass(self._padding)
        self._padding = 0
        return data

    def _pass(self, size: int) -> None:
        if self._stream.skip(size) < size:
            raise DamagedError("truncated_file", "the archive ends inside a member")

    def _header(self) -> bytes | None:
        header = self._stream.read(BLOCK)
        if not header.strip(b"\0"):
            # The end is two blocks of zeros; archives without them are common.
            try:
                for block in self._stream.blocks():
                    if block.strip(b"\0"):
                        raise DamagedError("damaged_file", "data behind the end of the archive")
            except DamagedError as damage:
                self.trailing = damage
            return None
        if len(header) < BLOCK:
            raise DamagedError("truncated_file", "the archive ends inside a header")
        declared = _number(header[148:156])
        blank = header[:148] + b" " * 8 + header[156:]
        if declared != sum(blank):
            raise DamagedError("damaged_file", "the checksum of a member's header does not hold")
        return header


def _refusal(name: str, kind: bytes) -> str:
    if kind not in _FILES:
        return f"{_KINDS.get(kind, f'of unknown kind {kind!r}')}, not a file"
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return "an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return "a path that leads out of the archive"
    return "" if "\0" not in name else "a NUL in its name"


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form for what they cannot hold."""
    if field[0] in (0x80, 0xFF):
        value = int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    else:
        digits = field.replace(b"\0", b" ").strip()
        if digits.strip(b"01234567"):
            raise DamagedError("damaged_file", "a member's header holds no proper number")
        value = int(digits or b"0", 8)
    if not 0 <= value < 1 << 62:
        raise DamagedError("damaged_file", "a member's size makes no sense")
    return value


def _decimal(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise DamagedError("damaged_file", "a member's size makes no sense")
    return int(text)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax(data: bytes) -> dict[str, str]:
    """`length name=value` records."""
    found = {}
    while data.strip(b"\0"):
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not len(length) < int(length[:9]) <= len(data):
            raise DamagedError("damaged_file", "a member's extended header is damaged")
        name, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        found[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        data = data[int(length) :]
    return found
