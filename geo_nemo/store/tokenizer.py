"""The tokenizer that stands in a store."""

from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.store.manifest import TokenizerEntry, mend
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import load_tokenizer


def tokenizer_entry(tokenizer: Tokenizer, file: str) -> TokenizerEntry:
    """What the manifest says of `tokenizer`, whose copy in the store is `file`."""
    names = tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id])
    return TokenizerEntry(
        file=file,
        kind=tokenizer.kind,
        sha256=tokenizer.sha256,
        vocab_size=tokenizer.vocab_size,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        pad_id=tokenizer.pad_id,
        bos=names[0],
        eos=names[1],
        pad=names[2],
    )


def open_tokenizer(root: Path, entry: TokenizerEntry) -> Tokenizer:
    """The tokenizer of the store in `root`. UserError when it is not the one that made it."""
    path = root / entry.file
    try:
        tokenizer = load_tokenizer(
            path, kind=entry.kind, bos=entry.bos, eos=entry.eos, pad=entry.pad
        )
    except UserError as error:
        raise UserError(f"{error}; {mend(root)}") from None
    ids = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id, tokenizer.vocab_size)
    same_ids = ids == (entry.bos_id, entry.eos_id, entry.pad_id, entry.vocab_size)
    if tokenizer.sha256 != entry.sha256 or not same_ids:
        raise UserError(f"{path} is not the tokenizer that made the store; {mend(root)}")
    return tokenizer
