"""Tokenizers of every kind, made on the spot."""

import base64
import json
from pathlib import Path

from geo_nemo.tokenizers.load import load_tokenizer
from geo_nemo.tokenizers.tiktoken_settings import _CL100K
from tests.unit.data_prep.store_tools import worlds

TIKTOKEN = "tiktoken"
KINDS = (*worlds.KINDS, "dummy_prefix", TIKTOKEN)


def make_tokenizers(folder: Path, kinds=KINDS) -> dict:
    """A tokenizer of each of `kinds`, in folders of their own."""
    made = {}
    for kind in kinds:
        (folder / kind).mkdir()
        made[kind] = load_tokenizer(_write(folder / kind, kind))
    return made


def _write(folder: Path, kind: str) -> Path:
    if kind != TIKTOKEN:
        return worlds.write_tokenizer(folder, kind)
    # The pieces of a byte-level vocabulary, in the order of their merges, under GPT-4's pattern.
    from tokenizers import Tokenizer

    source = worlds.write_tokenizer(folder, "llama_3")
    tokenizer = Tokenizer.from_file(str(source))
    source.unlink()
    bytes_of = {character: byte for byte, character in enumerate(_byte_characters())}
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    ranked = [
        bytes(bytes_of[character] for character in piece)
        for piece, _ in pieces
        if not piece.startswith("<|")
    ]
    path = folder / "own.tiktoken"
    path.write_bytes(
        b"".join(base64.b64encode(piece) + b" %d\n" % n for n, piece in enumerate(ranked))
    )
    special = {"<|begin_of_text|>": len(ranked), "<|end_of_text|>": len(ranked) + 1}
    settings = {"pattern": _CL100K, "special_tokens": special}
    (folder / "own.tiktoken.json").write_text(json.dumps(settings))
    return path


def _byte_characters() -> list[str]:
    """The character that byte-level vocabularies have for each byte (GPT-2's table)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in shown]
    table = {byte: chr(byte) for byte in shown}
    table |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [table[byte] for byte in range(256)]
