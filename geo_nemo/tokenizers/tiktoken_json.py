"""A tiktoken vocabulary as a `tokenizer.json`: for each piece the pair merged last into it."""

from itertools import pairwise

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend


def tiktoken_json(ranks: dict[bytes, int], pattern: str, special_tokens: dict[str, int]) -> Backend:
    """The vocabulary as a tokenizer of Hugging Face."""
    shown = _byte_characters()

    def text(piece: bytes) -> str:
        return "".join(shown[byte] for byte in piece)

    pairs = filter(None, (_halves(ranks, piece) for piece in sorted(ranks, key=ranks.get)))
    backend = Backend(
        models.BPE(
            vocab={text(piece): rank for piece, rank in ranks.items()} | special_tokens,
            merges=[(text(left), text(right)) for left, right in pairs],
            ignore_merges=True,  # a word that is a piece is that piece, however it is made
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in special_tokens])
    return backend


def _halves(ranks: dict[bytes, int], piece: bytes) -> tuple[bytes, bytes] | None:
    """The two pieces that are merged last into `piece`; None where it never comes of a merge."""
    parts = [bytes([byte]) for byte in piece]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, ranks[piece]) for a, b in pairwise(parts)]
        best = min(range(len(pairs)), key=pairs.__getitem__)
        if pairs[best] >= ranks[piece]:
            return None
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _byte_characters() -> list[str]:
    """The character that stands for each byte in byte-level vocabularies, as GPT-2 has them.

    Printable Latin-1 stands for itself; the others follow from 256 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
