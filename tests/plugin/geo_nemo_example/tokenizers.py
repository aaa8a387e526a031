"""A tokenizer: the bytes of UTF-8."""


class Bytes:
    """Its file has the names of the two control tokens."""

    version = "1"

    def __init__(self, path, content, bos, eos, pad):
        self.names = content.decode().split()
        self.vocab_size = 256 + len(self.names)
        self.bos_id, self.eos_id, self.pad_id = 256, 257, 257

    def encode(self, text):
        return list(text.encode())

    def decode(self, ids):
        return bytes(i for i in ids if i < 256).decode(errors="replace")

    def pieces(self, ids):
        return [chr(i) if i < 256 else self.names[i - 256] for i in ids]
