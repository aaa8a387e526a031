"""A sentencepiece model of BPE as a `tokenizer.json`: its pieces, and every pair that makes one."""

from collections.abc import Iterator

from tokenizers import AddedToken, decoders, models, normalizers
from tokenizers import Tokenizer as Backend

from geo_nemo.tokenizers.sentencepiece_model import PieceKind, parse_model

BLANK = "\u2581"  # how sentencepiece writes a space


def sentencepiece_json(content: bytes) -> Backend | None:
    """The model as a tokenizer of Hugging Face; None where it is not BPE, or changes texts."""
    model = parse_model(content)
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
