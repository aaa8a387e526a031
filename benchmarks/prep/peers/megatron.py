"""Megatron-LM's tools/preprocess_data.py and preprocess_data_fast.py, from a checkout.

They are in no wheel. The fast one needs gigatoken and awkward, and Python 3.12 and triton for what
it imports of Megatron-LM.
"""

import importlib.util
import sys
from pathlib import Path

from benchmarks.prep.setting import Corpus, Vocabulary
from benchmarks.processes import Measured, run
from geo_nemo.common.errors import RunError

TOOL, FAST_TOOL = "tools/preprocess_data.py", "tools/preprocess_data_fast.py"
_OPTIONS = {TOOL: ("--workers", "1"), FAST_TOOL: ("--use-gigatoken",)}
_NEEDED = {TOOL: ("transformers",), FAST_TOOL: ("transformers", "gigatoken", "awkward")}


def reason_against(checkout: Path | None, tool: str = TOOL) -> str:
    """Why it cannot run here; empty where it can."""
    if checkout is None:
        return "not installed: give --megatron, a checkout of Megatron-LM"
    if not (checkout / tool).is_file():
        return f"not installed: {checkout} has no {tool}"
    for module in _NEEDED[tool]:
        if importlib.util.find_spec(module) is None:
            return f"not installed: Megatron's tokenizer needs {module}"
    return ""


def preprocess(
    checkout: Path, corpus: Corpus, vocabulary: Vocabulary, output: Path, tool: str = TOOL
) -> Measured:
    """The text of each record to .bin and .idx, one worker. RunError where either is missing."""
    output.mkdir(parents=True)
    measured = run(
        [
            sys.executable, checkout.resolve() / tool, "--input", corpus.path,
            "--output-prefix", output / "out", "--tokenizer-type", "HuggingFaceTokenizer",
            "--tokenizer-model", vocabulary.path.parent, "--append-eod", *_OPTIONS[tool],
        ],
        paths=[checkout.resolve()],
    )  # fmt: skip
    for suffix in (".bin", ".idx"):
        if not (output / f"out_text_document{suffix}").is_file():
            raise RunError(f"Megatron's {tool} wrote no {suffix}")
    return measured
