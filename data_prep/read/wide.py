"""UTF-16 and UTF-32 that no mark tells: text that takes two or four bytes a character.

Space, digits, signs of markup and line ends stand in text of any script; read in the wrong order of
bytes they are other characters.
"""

_LEAST = 16
# Of the characters so many are of ASCII, and so many times those that the other order would give.
_SOME, _TIMES = 0.01, 4
# More bytes of ASCII than this are characters of their own, with some NUL between them.
_MOST_BYTES = 0.7
_SIGNS = bytes(range(0x20, 0x7F))
_ASCII = frozenset("\t\n\r" + "".join(map(chr, range(0x20, 0x7F))))


def wide_encoding(head: bytes) -> str:
    """`utf-16-le`, `utf-16-be`, `utf-32-le`, `utf-32-be` where `head` is such text, else empty."""
    if len(head) < _LEAST or 0 not in head:
        return ""
    if len(head.translate(None, _SIGNS)) < (1 - _MOST_BYTES) * len(head):
        return ""
    whole = head[: len(head) & ~3]
    for name, highest, next_one in (("utf-32-be", 0, 1), ("utf-32-le", 3, 2)):
        # No character is beyond 0x10FFFF, and few are beyond 0xFFFF.
        if not any(whole[highest::4]) and max(whole[next_one::4]) <= 0x10:
            return name if _share_of_ascii(whole, name) >= _SOME else ""
    shares = {name: _share_of_ascii(whole, name) for name in ("utf-16-le", "utf-16-be")}
    name = max(shares, key=shares.__getitem__)
    return name if shares[name] >= max(_SOME, _TIMES * min(shares.values())) else ""


def _share_of_ascii(head: bytes, name: str) -> float:
    """Of the characters in `head`, the share that is of ASCII; 0 where they are no text."""
    text = head.decode(name, "replace")
    others = sum(not (char.isprintable() or char in "\t\r\n\f") for char in text)
    if (others + text.count("\ufffd")) * 50 > len(text):
        return 0.0
    return sum(char in _ASCII for char in text) / len(text)
