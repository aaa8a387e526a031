"""UTF-16 that no mark tells: text that takes two bytes a character."""

# Space, digits, signs of markup and line ends stand in text of any script: of them one byte is NUL.
_SOME = 0.04


def wide_encoding(head: bytes) -> str:
    """`utf-16-le` or `utf-16-be` where `head` is such text, else empty."""
    if len(head) < 16:
        return ""
    zeros = [head[start::2].count(0) * 2 / len(head) for start in (0, 1)]
    if max(zeros) < _SOME or min(zeros) > max(zeros) / 20:
        return ""
    name = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    try:
        text = head[: len(head) & ~3].decode(name, "surrogatepass")
    except UnicodeDecodeError:
        return ""
    others = sum(not (char.isprintable() or char in "\t\r\n\f") for char in text)
    return name if others * 50 <= len(text) else ""
