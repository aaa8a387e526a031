"""A store of given texts under any tokenizer, for tests that need no more of its documents."""

from pathlib import Path

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.tokenizers.load import load_tokenizer


def text_store(folder: Path, tokenizer_path: Path, texts: list[str]) -> Path:
    """The store, `folder`/store: every text without a title, from Britain, in the train split."""
    tokenizer = load_tokenizer(tokenizer_path)
    root = folder / "store"
    root.mkdir()
    writer = StoreWriter(
        root, tokenizer, tokenizer_path, ["gb"], {"gb": "Europe"}, shard_documents=512
    )
    documents = [StoreDocument("a.co.uk", "gb", f"/{n}", n + 1) for n in range(len(texts))]
    bodies = tokenizer.encode_batch([f" {text}" for text in texts])
    writer.add("train", documents, [[]] * len(texts), bodies)
    writer.finish({}, [])
    return root
