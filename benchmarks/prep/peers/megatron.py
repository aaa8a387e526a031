"""Megatron-LM's tools/preprocess_data.py, from a checkout: it is in no wheel."""

import importlib.util
import sys
from pathlib import Path

from benchmarks.prep.setting import Corpus, Vocabulary
from benchmarks.processes import Measured, run
from geo_nemo.common.errors import RunError

TOOL = "tools/preprocess_data.py"


def reason_against(checkout: Path | None) -> str:
    """Why it cannot run here; empty where it can."""
    if checkout is None:
        return "not installed: give --megatron, a checkout of Megatron-LM"
    if not (checkout / TOOL).is_file():
        return f"not installed: {checkout} has no {TOOL}"
    if importlib.util.find_spec("transformers") is None:
        return "not installed: Megatron's tokenizer needs transformers"
    return ""


def preprocess(checkout: Path, corpus: Corpus, vocabulary: Vocabulary, output: Path) -> Measured:
    """The text of each record to .bin and .idx, one worker. RunError where either is missing."""
    output.mkdir(parents=True)
    measured = run(
        [
            sys.executable, checkout.resolve() / TOOL, "--input", corpus.path,
            "--output-prefix", output / "out", "--tokenizer-type", "HuggingFaceTokenizer",
            "--tokenizer-model", vocabulary.path.parent, "--append-eod", "--workers", "1",
        ],
        paths=[checkout.resolve()],
    )  # fmt: skip
    for suffix in (".bin", ".idx"):
        if not (output / f"out_text_document{suffix}").is_file():
            raise RunError(f"Megatron's preprocess_data wrote no {suffix}")
    return measured
