"""Our scorer over the documents of a folder: FOLDER; prints seconds and nats."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from eval.models import read_models
from eval.perplexity import sequences_of
from eval.scorers.hub_model import load_hugging_face
from geo_nemo.data.sequences import build_sequence
from geo_nemo.metadata.compose import NO_TOKENS
from geo_nemo.metadata.composed import Composed


def main() -> None:
    folder = Path(sys.argv[1])
    scorer = load_hugging_face(read_models({"m": str(folder)})["m"], "cpu", "fp32")
    arrays = np.load(folder / "documents.npz")
    texts = np.split(arrays["ids"].astype(np.int32), np.cumsum(arrays["lengths"])[:-1])
    started = time.process_time()
    nats = 0.0
    positions = np.array([len(text) - 1 for text in texts])
    for places, length in sequences_of(scorer, positions, 0):
        fragments = [
            Composed(int(texts[p][0]), (*(NO_TOKENS,) * 4, texts[p][1:], NO_TOKENS, NO_TOKENS))
            for p in places
        ]
        sequence = build_sequence(fragments, [0] * len(fragments), length, 1, True)
        nats += float(scorer.nll(sequence).sum(dtype=np.float64))
    print(json.dumps({"seconds": time.process_time() - started, "nats": nats}))


if __name__ == "__main__":
    main()
