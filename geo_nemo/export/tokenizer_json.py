"""A tokenizer of any kind as a `tokenizer.json`, which puts BOS in front as training did.

A conversion is compared with its original on texts that are known to be hard, and on its own
pieces. Control tokens that stand in a text are read as such by default, as in every Hugging Face
model.
"""

from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.hard_texts import HARD_TEXTS
from geo_nemo.tokenizers.sentencepiece_model import PieceKind, parse_model
from geo_nemo.tokenizers.tiktoken import read_ranks

BLANK = "\u2581"  # how sentencepiece writes a space
PIECES_A_TEXT = 64


def converted(path: Path, tokenizer: Tokenizer) -> Backend | None:
    """`tokenizer`, whose file is `path`, for Hugging Face; None where ids would differ."""
    make = {
        "sentencepiece": _from_sentencepiece,
        "huggingface": _from_hugging_face,
        "tiktoken": _from_tiktoken,
    }
    if tokenizer.kind not in make:
        return None
    backend = make[tokenizer.kind](path, tokenizer)
    if backend is None:
        return None
    if not starts_with_bos(backend, tokenizer):
        _put_bos_first(backend, tokenizer)
    return backend if _same_ids(backend, tokenizer) else None


def starts_with_bos(backend: Backend, tokenizer: Tokenizer) -> bool:
    """Whether it puts BOS before a text, and nothing else around it."""
    bare = backend.encode("a", add_special_tokens=False).ids
    return backend.encode("a").ids == [tokenizer.bos_id, *bare]


def _put_bos_first(backend: Backend, tokenizer: Tokenizer) -> None:
    name = backend.id_to_token(tokenizer.bos_id)
    template = processors.TemplateProcessing(
        single=[name, "$A"],
        pair=[name, "$A", f"{name}:1", "$B:1"],
        special_tokens=[(name, tokenizer.bos_id)],
    )
    before = backend.post_processor
    if isinstance(before, processors.ByteLevel):  # which only mends offsets
        template = processors.Sequence([before, template])
    backend.post_processor = template


def _same_ids(backend: Backend, tokenizer: Tokenizer) -> bool:
    backend.encode_special_tokens = True
    texts = chain(HARD_TEXTS, _texts_of_pieces(tokenizer))
    same = all(_same(backend, tokenizer, text) for text in texts)
    backend.encode_special_tokens = False
    return same


def _texts_of_pieces(tokenizer: Tokenizer) -> Iterator[str]:
    """The whole vocabulary, many pieces together: what is merged, and in which order."""
    for first in range(0, tokenizer.vocab_size, PIECES_A_TEXT):
        last = min(first + PIECES_A_TEXT, tokenizer.vocab_size)
        yield "".join(tokenizer.pieces(range(first, last)))


def _same(backend: Backend, tokenizer: Tokenizer, text: str) -> bool:
    ids = tokenizer.encode(text)
    if backend.encode(text).ids != [tokenizer.bos_id, *ids]:
        return False
    # What is unknown to a vocabulary has no text, which each library shows in its own way.
    return tokenizer.decode(ids) != text or backend.decode(ids) == text


def _from_hugging_face(path: Path, tokenizer: Tokenizer) -> Backend:
    backend = Backend.from_str(path.read_text("utf-8"))
    backend.no_truncation()
    backend.no_padding()
    return backend


def _from_sentencepiece(path: Path, tokenizer: Tokenizer) -> Backend | None:
    model = parse_model(path.read_bytes())
    if not model.is_bpe or model.changes_characters:
        return None
    ranks = {p.text: -p.score for p in model.pieces if p.kind is PieceKind.NORMAL}
    unknown = next(p.text for p in model.pieces if p.kind is PieceKind.UNKNOWN)
    backend = Backend(
        models.BPE(
            vocab={piece.text: number for number, piece in enumerate(model.pieces)},
            merges=list(_merges_of(ranks)),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=model.byte_fallback,
        )
    )
    marks = [normalizers.Replace(" ", BLANK)]
    back = [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.space_in_front:
        marks.insert(0, normalizers.Prepend(BLANK))
        back.append(decoders.Strip(" ", 1, 0))
    backend.normalizer = normalizers.Sequence(marks)
    backend.decoder = decoders.Sequence(back)
    for special, kinds in (
        (True, (PieceKind.UNKNOWN, PieceKind.CONTROL)),
        (False, (PieceKind.USER_DEFINED,)),
    ):
        names = [piece.text for piece in model.pieces if piece.kind in kinds]
        tokens = [AddedToken(name, normalized=False, special=special) for name in names]
        (backend.add_special_tokens if special else backend.add_tokens)(tokens)
    return backend


def _merges_of(ranks: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Every way in which two pieces make a third, the best rank of what they make first."""
    for piece in sorted(ranks, key=ranks.__getitem__):
        for cut in range(1, len(piece)):
            if piece[:cut] in ranks and piece[cut:] in ranks:
                yield piece[:cut], piece[cut:]


def _from_tiktoken(path: Path, tokenizer: Tokenizer) -> Backend:
    ranks, settings = read_ranks(path, path.read_bytes()), tokenizer.settings
    shown = _byte_characters()

    def text(piece: bytes) -> str:
        return "".join(shown[byte] for byte in piece)

    pairs = filter(None, (_halves(ranks, piece) for piece in sorted(ranks, key=ranks.get)))
    backend = Backend(
        models.BPE(
            vocab={text(piece): rank for piece, rank in ranks.items()} | settings.special_tokens,
            merges=[(text(left), text(right)) for left, right in pairs],
            ignore_merges=True,  # a word that is a piece is that piece, however it is made
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(settings.pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [AddedToken(name, normalized=False) for name in settings.special_tokens]
    )
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
