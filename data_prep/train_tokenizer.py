"""Texts of the narrow pipeline's corpus to train a tokenizer on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from data_prep.corpus_files import CorpusSummary, read_lines
from data_prep.split import SAMPLE_DRAW, below, uniform_bits
from data_prep.tokenise.train import TooFewTexts, train_sentencepiece
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.store.manifest import SPLITS

__all__ = ["TooFewTexts", "sample_train_texts", "train_sentencepiece"]
BATCH = 1024


def sample_train_texts(
    folder: Path,
    summary: CorpusSummary,
    sample_bytes: int,
    seed: int,
    progress: Progress = no_progress,
) -> Iterator[str]:
    """Titles and texts of train documents drawn by content hash, `sample_bytes` in all, about."""
    split = summary.splits[SPLITS[0]]
    share = min(1.0, sample_bytes / max(split.text_bytes, 1))
    done = 0
    for file in split.files:
        for lines in read_lines(folder / file.name, BATCH):
            documents = [orjson.loads(line) for line in lines]
            hashes = np.array([int(d["hash"][:16], 16) for d in documents], np.uint64)
            drawn = below(share, uniform_bits(hashes, seed, SAMPLE_DRAW))
            for document, take in zip(documents, drawn, strict=True):
                if take or share == 1:
                    yield document["title"]
                    yield document["text"]
            done += len(lines)
            progress("sample", done, split.documents)
