"""Our answers to the questions of a folder: FOLDER SHOTS; prints seconds and the chosen options."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from eval.models import read_models
from eval.scorers.hub_model import load_hugging_face
from eval.scorers.tokenizers import tokenizer_of


def main() -> None:
    folder = Path(sys.argv[1])
    model = read_models({"m": str(folder)})["m"]
    scorer, tokenizer = load_hugging_face(model, "cpu", "fp32"), tokenizer_of(model)
    questions = json.loads((folder / "questions.json").read_text())[sys.argv[2]]
    started = time.process_time()
    prefixes = [np.array([tokenizer.bos_id, *ids]) for ids in
                tokenizer.encode_batch([question["prompt"] for question in questions])]  # fmt: skip
    options = iter(tokenizer.encode_batch([f" {o}" for q in questions for o in q["options"]]))
    endings = [[np.array(next(options)) for _ in q["options"]] for q in questions]
    found = scorer.continuations(prefixes, endings)
    answers = [int(np.argmin([nll.sum() for nll in of])) for of in found]
    print(json.dumps({"seconds": time.process_time() - started, "answers": answers}))


if __name__ == "__main__":
    main()
