"""Stage `store`: the shards of all parts, one store.

    <output>/store/   see geo_nemo.store.manifest

Shards stay as they are and get second names here. What is new is small: the table of all hosts, a
host map for each shard, the manifest. In memory: see data_prep.tokenise.assemble.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from data_prep.engine import Receipt, Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import Ingest
from data_prep.splits.outcomes import DROPS
from data_prep.tokenise.assemble import FinishedShard, assemble
from data_prep.tokenise.part_shards import read_hosts, read_shard
from data_prep.tokenise.publish import publish_tree
from data_prep.tokenise.store_writer import shard_place
from data_prep.tokenise.tokenise_stage import Tokenise
from data_prep.tokenise.tokenizer_stage import TokenizerStage
from geo_nemo.metadata.geography import continent_of
from geo_nemo.store.manifest import SPLITS, Manifest, SourceEntry

STORE_VERSION = "2"
STORE_FOLDER = "store"
TASK_ID = "store"


class Store(Stage):
    """Puts the store together."""

    name = "store"

    def tasks(self) -> list[Task]:
        tokenise = Tokenise(self.config)
        tasks = tokenise.tasks()
        ingest = [receipt.key for receipt in Ingest(self.config).receipts()]
        settings = repr(self.config.annotate.countries)
        if self.config.kinds:
            settings += repr((self.config.kinds, self.config.limits.max_values))
        keys = (task.key for task in tasks)
        return [Task(TASK_ID, task_key(STORE_VERSION, settings, *ingest, *keys), len(tasks), {})]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        ingest = Ingest(self.config).receipts()
        tokenise = Tokenise(self.config).receipts()
        made = TokenizerStage(self.config).made()
        shards = [
            _finished(place, split, source)
            for place, (split, source) in _places(self.config).items()
        ]
        countries = {*self.config.annotate.countries}
        countries.update(country for shard in shards for country in shard.entry.countries)
        for shard in shards:
            (folder / shard.entry.path).mkdir(parents=True)
        manifest = assemble(
            folder,
            shards,
            made.tokenizer,
            made.path,
            {country: continent_of(country) for country in countries},
            _set_aside(ingest, tokenise),
            [SourceEntry(**each) for receipt in ingest for each in receipt.counts["sources"]],
            self.config.kinds,
            self.config.limits.max_values,
        )
        progress(task.size, sum(split.documents for split in manifest.splits.values()))
        return _counts(manifest, made.path, tokenise)

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        """Give every file its name in `<output>/store/`."""
        own = self.task_folder(TASK_ID)
        files = {
            f"{place}/{name}": source / name
            for place, (_, source) in _places(self.config).items()
            for name in read_shard(source)[0].files
        }
        files |= {name: own / name for name in receipts[0].files}
        publish_tree(Path(self.config.output) / STORE_FOLDER, tasks[0].key, files)


def _places(config) -> dict[str, tuple[str, Path]]:
    """Place of each shard in the store, its split, and the folder in which it was made."""
    stage = Tokenise(config)
    done = list(zip(stage.tasks(), stage.receipts(), strict=True))
    places = {}
    for split in SPLITS:
        having = [task.id for task, receipt in done if split in receipt.counts["splits"]]
        for number, task_id in enumerate(having):
            places[shard_place(split, number)] = (split, stage.task_folder(task_id) / split)
    return places


def _finished(place: str, split: str, source: Path) -> FinishedShard:
    entry, by_country = read_shard(source)
    entry = entry.model_copy(update={"path": place})
    return FinishedShard(split, entry, by_country, lambda: read_hosts(source), source)


def _set_aside(ingest: list[Receipt], tokenise: list[Receipt]) -> dict[str, int]:
    """Documents that are in no split, by reason."""
    counts: Counter[str] = Counter()
    for receipt in ingest:
        counts.update(receipt.counts["drops"])
    for receipt in tokenise:
        outcomes = receipt.counts["outcomes"]
        counts.update({reason: outcomes[reason] for reason in DROPS if reason in outcomes})
    return dict(counts)


def _counts(manifest: Manifest, tokenizer: Path, tokenise: list[Receipt]) -> dict[str, Any]:
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    return {
        "bytes": manifest.hosts.bytes
        + tokenizer.stat().st_size
        + sum(file.bytes for shard in shards for file in shard.files.values()),
        "shards": len(shards),
        "splits": {
            name: split.model_dump(exclude={"shards"}) for name, split in manifest.splits.items()
        },
        "encoders": sorted({receipt.counts["encoder"] for receipt in tokenise}),
        "why_not_faster": sorted({r.counts["why_not_faster"] for r in tokenise} - {""}),
    }
