"""CPU seconds of the stages ingest and tokenise, without start: INPUT OUTPUT.

A file of its own, that an older checkout can run: whichever data_prep is first on the path is used.
OUTPUT is prepared first where it is not.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

PASSES = 4
STAGES = ("ingest", "tokenise")


def main() -> None:
    from data_prep.config import Prep, TokenizerChoice
    from data_prep.engine import run_stage
    from data_prep.graph import stages

    tokenizer = TokenizerChoice(vocab_size=8000)
    output = Path(sys.argv[2])
    config = Prep(
        input=({"path": sys.argv[1]},), output=str(output), corpus="none", tokenizer=tokenizer
    )
    found = {stage.name: stage for stage in stages(config)}
    for stage in found.values():
        run_stage(stage)
        if stage.name == STAGES[-1]:
            break
    print(json.dumps({name: least(found[name], output) for name in STAGES}))


def least(stage, output: Path) -> float:
    """Of the quickest of some times: all is loaded, and nobody is in the way."""
    tasks, seconds = stage.tasks(), []
    for _ in range(PASSES):
        with tempfile.TemporaryDirectory(dir=output) as folder:
            started = time.process_time()
            for task in tasks:
                made = Path(folder) / task.id
                made.mkdir()
                stage.run(task, made, lambda *_: None)
            seconds.append(time.process_time() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
