"""Stage `tokenise`: each part's documents to columns, a shard for each split.

Where the ids of the fast encoder and of the reference differ on a document, the stage stops, and
from then on makes the whole store with the reference: a store whose shards are made in two ways
would depend on which documents were compared. That is kept in REFERENCE_ONLY, in the stage's
folder, and changes the keys of all tasks; the next run begins again by itself.
"""

from pathlib import Path
from typing import Any

import numpy as np

from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.final import final_keys, final_outcomes
from data_prep.ingest import all_parts
from data_prep.parts import read_part
from data_prep.splits.outcomes import OUTCOMES
from data_prep.tokenise.encoders import Choice
from data_prep.tokenise.field_writer import FOUND
from data_prep.tokenise.loaded import beginnings_of, encoder_at
from data_prep.tokenise.part_shards import COLUMNS, EncodersDiffer, save_shard, write_part
from data_prep.tokenise.tokenizer_stage import MadeTokenizer, TokenizerStage
from geo_nemo.common.errors import RunError
from geo_nemo.common.files import write_whole
from geo_nemo.store.manifest import token_dtype

TOKENISE_VERSION = "2"
REFERENCE_ONLY = "reference_only"


class Tokenise(Stage):
    """Writes the shards: `<task>/<split>/` with the columns, `shard.json` and `hosts.txt`."""

    name = "tokenise"

    def tasks(self) -> list[Task]:
        from data_prep.dedup import decision_keys

        config = self.config
        made = TokenizerStage(config).made_key()
        base = (
            TOKENISE_VERSION,
            made,
            str(config.tokenizer.check_documents),
            str(self._reference_only()),
        )
        each = zip(all_parts(config), final_keys(config), decision_keys(config), strict=True)
        return [
            Task(part.id, task_key(*base, part.key, *keys), part.text_bytes, {})
            for part, *keys in each
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        from data_prep.dedup import decisions

        config = self.config
        part = next(part for part in all_parts(config) if part.id == task.id)
        outcome = final_outcomes(config, part)
        made = TokenizerStage(config).made()
        choice = _encoder(made, self._reference_only())
        try:
            shards = write_part(
                folder,
                read_part(part.path, [*COLUMNS, *config.kinds]),
                outcome,
                decisions(config, part).cluster,
                choice,
                token_dtype(made.tokenizer.vocab_size),
                config.tokenizer.check_documents,
                progress,
                (*FOUND, *config.kinds),
                beginnings_of(made.tokenizer),
            )
        except EncodersDiffer as error:
            write_whole(self.folder / REFERENCE_ONLY, f"{error}\n".encode())
            raise RunError(
                f"{error} (part {part.id}): run the same command again; the whole store is then "
                f"made with {choice.reference.name}, which is slower"
            ) from None
        for split, shard in shards.items():
            save_shard(folder / split, shard)
        counts = np.bincount(outcome, minlength=len(OUTCOMES))
        return {
            "encoder": choice.encoder.name,
            "why_not_faster": choice.reason,
            "splits": list(shards),
            "outcomes": {name: int(n) for name, n in zip(OUTCOMES, counts, strict=True) if n},
            "title_tokens": sum(shard.entry.title_tokens for shard in shards.values()),
            "body_tokens": sum(shard.entry.body_tokens for shard in shards.values()),
        }

    def _reference_only(self) -> bool:
        return (self.folder / REFERENCE_ONLY).exists()


def _encoder(made: MadeTokenizer, reference_only: bool) -> Choice:
    return encoder_at(made.path, made.tokenizer, reference_only)
