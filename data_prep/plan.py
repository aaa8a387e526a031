"""What a preparation would do and about how much it takes; writes nothing.

The first records of up to three files are read, annotated and cleaned, so that sizes, the share
that is kept and the speed of ingest are this input's, on this machine. The speeds of the other
stages are constants that were measured on one core.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_prep.config import Prep
from data_prep.engine import Stage, Task
from data_prep.extra_fields import columns_of, given_fields, with_given
from data_prep.ingest import Ingest
from data_prep.quarantine import Rejected
from data_prep.read.fields import nearest
from geo_nemo.common.errors import UserError

SAMPLE_FILES, SAMPLE_RECORDS = 3, 3000
# Text whose pieces are counted, and how their number grows with the text: between 1 and 5 MB of
# English with the power 0.62.
COUNTED_BYTES, GROWTH = 4_000_000, 0.7
# MB of text a second on one core of a 2-core cloud machine; docs/performance.md.
MB_PER_SECOND = {"fingerprint": 40.0, "overlap": 30.0, "corpus": 90.0, "tokenizer": 3.0}
TOKENISE_MB_PER_SECOND = {"sentencepiece": 16.0, "huggingface": 100.0, "tiktoken": 100.0}
# Of a kind from outside: a guess.
OTHER_MB_PER_SECOND = 5.0
TEXT_BYTES_PER_TOKEN = 4.5
# Bytes for a byte of text.
PART_FRACTION, CORPUS_FRACTION = 1.1, 0.45


@dataclass(frozen=True)
class Sample:
    """What the first records told.

    records: how many there were. kept: fraction of them that is.
    expansion: bytes of records for a byte of the files.
    record_bytes, text_bytes: mean size of a record, and of the text of a kept one.
    mb_per_second: bytes of records through ingest on one core. texts: some MB of kept ones.
    fields: kept records that have each metadata field of the user's own. absent: of one that none
    has, what the records have instead.
    """

    records: int
    kept: float
    expansion: float
    record_bytes: float
    text_bytes: float
    mb_per_second: float
    texts: tuple[str, ...]
    fields: dict[str, float]
    absent: dict[str, str]


@dataclass(frozen=True)
class StagePlan:
    """A stage: its tasks and those of them that are done, where they are known; CPU seconds."""

    name: str
    tasks: int | None
    done: int | None
    cpu_seconds: float


@dataclass(frozen=True)
class Plan:
    """Files and their bytes are counted; documents and what follows from them are estimates.

    disk_bytes: of work, corpus and store together, at most; free_bytes: there now.
    tokenizer: the one in use, in words. passed_over: files of folders that are not read, in words.
    stages: those that would run.
    """

    files: int
    passed_over: str
    bytes: int
    sample: Sample
    documents: int
    text_bytes: int
    tokens: int
    disk_bytes: int
    free_bytes: int
    workers: int
    tokenizer: str
    stages: tuple[StagePlan, ...]

    @property
    def seconds(self) -> float:
        """Wall time, where the workers share the work equally."""
        return sum(stage.cpu_seconds for stage in self.stages) / self.workers


def make_plan(config: Prep, only: Sequence[str] = ()) -> Plan:
    """The plan of `run_prep(config, only=only)`; sizes are those of the whole preparation.

    Raises the UserErrors that can be known beforehand.
    """
    from data_prep.graph import check_ended, check_names, check_output, stages

    chain = stages(config)
    check_names(chain, only)
    check_output(config)
    for place, stage in enumerate(chain):
        if stage.name in only:
            check_ended(stage, [each for each in chain[:place] if each.name not in only])
    ingest = Ingest(config)
    tasks = ingest.tasks()
    size = sum(task.size for task in tasks)
    sample = _sample(config, tasks)
    record_bytes = size * sample.expansion
    documents = int(record_bytes / sample.record_bytes * sample.kept)
    text_bytes = int(documents * sample.text_bytes)
    if not only or "tokenizer" in only:
        _check_vocabulary(config, sample, text_bytes)
    tokenizer, kind, width = _tokenizer(config)
    tokens = int(text_bytes / TEXT_BYTES_PER_TOKEN)
    seconds = {
        "ingest": record_bytes / 1e6 / sample.mb_per_second,
        "fingerprint": text_bytes / 1e6 / MB_PER_SECOND["fingerprint"],
        "corpus": text_bytes / 1e6 / MB_PER_SECOND["corpus"],
        "tokenise": text_bytes / 1e6 / TOKENISE_MB_PER_SECOND.get(kind, OTHER_MB_PER_SECOND),
    }
    if config.tokenizer.path is None:
        sampled = min(text_bytes, config.tokenizer.sample_bytes)
        seconds["tokenizer"] = sampled / 1e6 / MB_PER_SECOND["tokenizer"]
    if config.dedup.near.action == "none":
        del seconds["fingerprint"]
    if config.overlap.evaluations or config.overlap.held_out:
        seconds["overlap"] = text_bytes / 1e6 / MB_PER_SECOND["overlap"]
    fraction = PART_FRACTION + CORPUS_FRACTION * (config.corpus != "none")
    return Plan(
        # A large file may be several pieces, in several tasks.
        files=len({tuple(file[:2]) for task in tasks for file in task.payload["files"]}),
        passed_over=ingest.told,
        bytes=size,
        sample=sample,
        documents=documents,
        text_bytes=text_bytes,
        tokens=tokens,
        disk_bytes=int(tokens * width + text_bytes * fraction),
        free_bytes=_free_bytes(Path(config.output)),
        workers=config.execution.workers or len(os.sched_getaffinity(0)),
        tokenizer=tokenizer,
        stages=tuple(s for s in _stages(chain, seconds) if not only or s.name in only),
    )


def _sample(config: Prep, tasks: list[Task]) -> Sample:
    """Ingest the first records of the first, the middle and the last file."""
    from data_prep.annotate import Annotator, Annotators, OwnFields, without_credentials
    from data_prep.clean import Cleaner
    from data_prep.read import InputFile, open_reader

    files = [file for task in tasks for file in task.payload["files"]]
    places = {i * (len(files) - 1) // (SAMPLE_FILES - 1) for i in range(SAMPLE_FILES)}
    chosen = [files[place] for place in sorted(places)]
    annotator, cleaner = Annotator(config.annotate), Cleaner(config.clean)
    annotators, sources = Annotators(config.annotate), config.sources
    own, seen = OwnFields(config.kinds, config.limits.max_value_bytes, config.firsts), ()
    texts: list[str] = []
    why = ""
    records = kept = read_bytes = record_bytes = text_bytes = 0
    seconds = 0.0
    for index, path, size, version, *piece in chosen:
        source = sources[index]
        constants = given_fields(path, source)
        reader = open_reader(
            InputFile(path, size, version, source, tuple(piece) or None), config.limits
        )
        begin = time.process_time()
        for record in islice(iter(reader), SAMPLE_RECORDS):
            records += 1
            if not hasattr(record, "fields"):
                why = why or f"{record.reason}: {record.detail}"
                continue
            fields = with_given(constants, record.fields)
            try:
                document = cleaner.clean(annotator.document(fields, source.name))
            except Rejected as found:
                verdict = reader.explained(found)
                why = why or f"{verdict.reason}: {without_credentials(verdict.detail)}"
                continue
            own.of(annotators.of(document, fields))
            kept += 1
            text_bytes += len(document.text.encode())
            if text_bytes < COUNTED_BYTES:
                texts += (document.title, document.text)
        annotator.settle()
        seconds += time.process_time() - begin
        seen = seen or reader.seen
        read_bytes += reader.bytes_read
        record_bytes += reader.text_bytes
    if not kept:
        raise UserError(
            f"none of the first {records} records of "
            f"{', '.join(dict.fromkeys(file[1] for file in chosen))} can be used; the first one: "
            f"{why[:300] or 'there is none'}"
        )
    return Sample(
        records=records,
        kept=kept / records,
        expansion=record_bytes / max(read_bytes, 1),
        # Readers read ahead: what they have decompressed is more than what they have given.
        record_bytes=record_bytes / records,
        text_bytes=text_bytes / kept,
        mb_per_second=record_bytes / 1e6 / max(seconds, 1e-6),
        texts=tuple(texts),
        fields={name: found["documents"] / kept for name, found in own.counts.items()},
        absent={
            name: nearest(min(columns_of(config, name), default=name), seen)
            for name, found in own.counts.items()
            if not found["documents"] and name not in config.annotate.found_fields
        },
    )


def _check_vocabulary(config: Prep, sample: Sample, text_bytes: int) -> None:
    """UserError where the texts cannot give the vocabulary that is to be trained."""
    from data_prep.tokenise.train import most_pieces

    choice = config.tokenizer
    if choice.path is not None or choice.shrink:
        return
    words = {word for text in sample.texts for word in text.split() if 1 < len(word) < 16}
    if len(words) >= choice.vocab_size:
        return  # each of them comes to be a piece: no need to count what others there are
    counted = sum(len(text.encode()) for text in sample.texts)
    trained_on = min(text_bytes, choice.sample_bytes)
    most = most_pieces(sample.texts) * max(trained_on / max(counted, 1), 1) ** GROWTH
    if choice.vocab_size > most:
        raise UserError(
            f"tokenizer.vocab_size={choice.vocab_size} is more than these texts give, about "
            f"{int(most):,}: set a smaller one, or add tokenizer.shrink=true"
        )


def _tokenizer(config: Prep) -> tuple[str, str, int]:
    """The tokenizer in words, its kind, and bytes a token."""
    from data_prep.tokenise.loaded import tokenizer_of

    choice = config.tokenizer
    if choice.path is None:
        words = f"sentencepiece BPE of {choice.vocab_size:,} pieces, trained on the train split"
        return words, "sentencepiece", 2 if choice.vocab_size <= 1 << 16 else 4
    tokenizer = tokenizer_of(choice)
    words = f"{choice.path}, {tokenizer.kind}, {tokenizer.vocab_size:,} tokens"
    return words, tokenizer.kind, 2 if tokenizer.vocab_size <= 1 << 16 else 4


def _stages(chain: list[Stage], seconds: dict[str, float]) -> tuple[StagePlan, ...]:
    plans = []
    for stage in chain:
        # Receipts behind work that is to be done are those of an earlier input or setting.
        ready = all(plan.tasks is not None and plan.tasks == plan.done for plan in plans)
        cpu_seconds = seconds.get(stage.name, 0.0)
        plans.append(
            _stage(stage, cpu_seconds) if ready else StagePlan(stage.name, None, None, cpu_seconds)
        )
    return tuple(plans)


def _stage(stage: Stage, cpu_seconds: float) -> StagePlan:
    try:
        tasks = stage.tasks()
    except (UserError, RuntimeError):  # a stage before it is not finished
        return StagePlan(stage.name, None, None, cpu_seconds)
    done = sum(stage.receipt(task) is not None for task in tasks)
    total = sum(task.size for task in tasks)
    left = sum(task.size for task in tasks if stage.receipt(task) is None)
    return StagePlan(stage.name, len(tasks), done, cpu_seconds * left / total if total else 0.0)


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
