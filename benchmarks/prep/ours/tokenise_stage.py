"""The whole stage `tokenise` of a preparation, after those before it: CONFIG, as JSON.

Its CPU seconds are of reading the parts, encoding, comparing a sample with the reference and
writing the columns; the vocabulary has been loaded, as by a worker that has had a part already.
"""

import sys
import time

from benchmarks.prep.contender import say
from data_prep.config import Prep
from data_prep.engine import run_stage
from data_prep.graph import stages
from data_prep.ingest import all_parts
from data_prep.tokenise.loaded import encoder_at
from data_prep.tokenise.tokenise_stage import Tokenise
from data_prep.tokenise.tokenizer_stage import TokenizerStage


def main() -> None:
    config = Prep.model_validate_json(sys.argv[1])
    for stage in stages(config):
        if stage.name == Tokenise.name:
            break
        run_stage(stage)
    load_encoder(config)
    started = time.process_time()
    run_stage(stage)
    seconds = time.process_time() - started
    text_bytes = sum(part.text_bytes for part in all_parts(config))
    say(seconds=seconds, megabytes_per_second=text_bytes / 1e6 / seconds)


def load_encoder(config: Prep) -> None:
    """As the stage does for its first part."""
    made = TokenizerStage(config).made()
    encoder_at(made.path, made.tokenizer)


if __name__ == "__main__":
    main()
