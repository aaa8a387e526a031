"""The whole preparation: corpus, tokenizer, store; each stage whole or not there.

    <output>/corpus/     train-00000.jsonl.zst ..., quarantine.jsonl, corpus.json
    <output>/tokenizer/  tokenizer.model or tokenizer.json
    <output>/store/      the token store, moved into place last
    <output>/report.json

A run with the same config and input takes finished stages as they are.
"""

import hashlib
import shutil
import time
from pathlib import Path

from data_prep.annotate.origin import load_outlets
from data_prep.build_store import build_store
from data_prep.corpus import QUARANTINE_NAME, build_corpus
from data_prep.corpus_files import CorpusSummary, read_summary
from data_prep.narrow_config import Prep
from data_prep.report import PrepReport, StageTime, speed, split_reports
from data_prep.stages import (
    build_stage,
    check_replaceable,
    stage_is_whole,
    stage_key,
)
from data_prep.train_tokenizer import TooFewTexts, sample_train_texts, train_sentencepiece
from geo_nemo.config.errors import UserError
from geo_nemo.config.files import write_whole
from geo_nemo.config.lock import folder_lock
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.metadata.geography import countries
from geo_nemo.metadata.tokenizer import Tokenizer, load_tokenizer
from geo_nemo.store import TokenStore

# Raise one when a stage comes to write something else for the same input and config.
CORPUS_VERSION = "2"
TOKENIZER_VERSION = STORE_VERSION = "1"
CORPUS, TOKENIZER, STORE, REPORT = "corpus", "tokenizer", "store", "report.json"


def prepare(config: Prep, progress: Progress = no_progress) -> PrepReport:
    """Run the stages that are not there yet; the store is at `<output>/store`.

    Raises UserError for input, config or output that cannot be used; what was whole before stays.
    """
    output = Path(config.output)
    _check_inputs(config)
    with folder_lock(output):
        stages = _Stages(config, output, progress)
        for folder in (output / CORPUS, output / TOKENIZER, output / STORE):
            check_replaceable(folder)
        summary = stages.corpus()
        tokenizer, tokenizer_path = stages.tokenizer(summary)
        store = stages.store(summary, tokenizer, tokenizer_path)
        report = _report(output, summary, store, stages.times)
        write_whole(output / REPORT, report.model_dump_json(indent=1).encode())
    return report


def plan(config: Prep) -> dict[str, str]:
    """What `prepare` would do, by topic; checks config and input, reads no record, writes nothing.

    Raises the UserErrors that can be known beforehand.
    """
    _check_inputs(config)
    output = Path(config.output)
    files = config.input_files()
    keys = stage_keys(config)
    choice, splits = config.tokenizer, config.splits
    if choice.path:
        tokenizer = load_tokenizer(choice.path, bos=choice.bos, eos=choice.eos, pad=choice.pad)
        described = f"{choice.path}, {tokenizer.kind}, {tokenizer.vocab_size} pieces"
    else:
        described = (
            f"sentencepiece BPE of {choice.vocab_size} pieces, trained on about "
            f"{choice.sample_bytes / 1e6:g} MB of the train split"
        )
    lines = {f"input {i + 1}": f"{f}, {f.stat().st_size:,} bytes" for i, f in enumerate(files)}
    lines["countries"] = ", ".join(config.countries) or "every country found"
    lines["outlet table"] = f"default, {len(load_outlets(config.outlets))} hosts in all"
    lines["splits"] = (
        f"train {splits.train:g}, validation {splits.validation:g}, test {splits.test:g}, with "
        f"{splits.test_min_per_country} to {splits.test_max_per_country} test documents a country"
    )
    lines["tokenizer"] = described
    for name, key in keys.items():
        folder = output / name
        check_replaceable(folder)
        action = "kept as it is" if stage_is_whole(folder, key) else "made"
        if action == "made" and folder.exists():
            action = "made again: config or input changed"
        lines[f"{folder}"] = action
    return lines


def stage_keys(config: Prep) -> dict[str, str]:
    """The key of each stage: a hash of all it depends on."""
    inputs = []
    for file in config.input_files():
        status = file.stat()
        inputs.append(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}")
    fields = ("splits", "countries", "seed", "max_line_bytes", "shard_documents")
    outlets = repr(sorted(load_outlets(config.outlets).items()))
    table = repr([(c.code, c.continent, sorted(c.accepted)) for c in countries().values()])
    corpus = stage_key(CORPUS_VERSION, config.canonical(*fields), outlets, table, *inputs)
    choice = config.tokenizer
    content = hashlib.sha256(Path(choice.path).read_bytes()).hexdigest() if choice.path else ""
    tokenizer = stage_key(TOKENIZER_VERSION, corpus, config.canonical("tokenizer"), content)
    return {
        CORPUS: corpus,
        TOKENIZER: tokenizer,
        STORE: stage_key(STORE_VERSION, corpus, tokenizer),
    }


class _Stages:
    """Makes or reuses each stage, and times it."""

    def __init__(self, config: Prep, output: Path, progress: Progress):
        self._config = config
        self._output = output
        self._progress = progress
        self._keys = stage_keys(config)
        self.times: dict[str, StageTime] = {}

    def corpus(self) -> CorpusSummary:
        folder, key = self._output / CORPUS, self._keys[CORPUS]
        started = time.perf_counter()
        summary = read_summary(folder) if stage_is_whole(folder, key) else None
        reused = summary is not None
        if summary is None:
            build_stage(
                folder, key, lambda partial: build_corpus(self._config, partial, self._progress)
            )
            summary = read_summary(folder)
            if summary is None:
                raise UserError(f"{folder} changed while it was prepared: prepare it again")
        self._time(CORPUS, started, reused)
        return summary

    def tokenizer(self, summary: CorpusSummary) -> tuple[Tokenizer, Path]:
        folder, key = self._output / TOKENIZER, self._keys[TOKENIZER]
        choice = self._config.tokenizer
        suffix = Path(choice.path).suffix if choice.path else ".model"
        path = folder / f"tokenizer{suffix}"
        started = time.perf_counter()
        reused = stage_is_whole(folder, key) and path.is_file()
        if not reused:
            build_stage(folder, key, lambda partial: self._make_tokenizer(partial / path.name))
        self._time(TOKENIZER, started, reused)
        # Names of control tokens may stand beside the given file: ask it, not the copy.
        source = choice.path or path
        return load_tokenizer(source, bos=choice.bos, eos=choice.eos, pad=choice.pad), path

    def store(self, summary: CorpusSummary, tokenizer: Tokenizer, path: Path) -> TokenStore:
        folder, key = self._output / STORE, self._keys[STORE]
        started = time.perf_counter()
        store = _open_or_none(folder) if stage_is_whole(folder, key) else None
        reused = store is not None
        if store is None:
            shard = self._config.shard_documents
            corpus = self._output / CORPUS
            build_stage(
                folder,
                key,
                lambda partial: build_store(
                    corpus, summary, tokenizer, path, shard, partial, self._progress
                ),
            )
            store = TokenStore.open(folder)
        self._time(STORE, started, reused)
        return store

    def _make_tokenizer(self, path: Path) -> None:
        choice = self._config.tokenizer
        if choice.path:
            shutil.copyfile(choice.path, path)
            return
        try:
            self._train(choice.vocab_size, path)
        except TooFewTexts as error:
            if not choice.shrink:
                raise
            self._train(error.most, path)
        self._progress("tokenizer", 1, 1)

    def _train(self, vocab_size: int, path: Path) -> None:
        corpus = self._output / CORPUS
        config = self._config
        texts = sample_train_texts(
            corpus,
            read_summary(corpus),
            config.tokenizer.sample_bytes,
            config.seed,
            self._progress,
        )
        self._progress("tokenizer", 0, 1, f"learning {vocab_size} pieces")
        train_sentencepiece(texts, vocab_size, path)

    def _time(self, stage: str, started: float, reused: bool) -> None:
        seconds = time.perf_counter() - started
        self.times[stage] = StageTime(seconds=round(seconds, 3), reused=reused)


def _check_inputs(config: Prep) -> None:
    """Raise for inputs that cannot be read, before anything is written."""
    for file in config.input_files():
        try:
            file.open("rb").close()
        except OSError as error:
            raise UserError(f"cannot read input={file}: {error.strerror}") from None
    choice = config.tokenizer
    if choice.path:
        load_tokenizer(choice.path, bos=choice.bos, eos=choice.eos, pad=choice.pad)
    load_outlets(config.outlets)


def _open_or_none(folder: Path) -> TokenStore | None:
    try:
        return TokenStore.open(folder)
    except UserError:
        return None


def _report(
    output: Path, summary: CorpusSummary, store: TokenStore, stages: dict[str, StageTime]
) -> PrepReport:
    manifest = store.manifest
    return PrepReport(
        output=str(output),
        store=str(store.root),
        store_hash=store.hash,
        tokenizer=manifest.tokenizer.kind,
        vocab_size=manifest.tokenizer.vocab_size,
        read=summary.read,
        kept=sum(split.documents for split in manifest.splits.values()),
        text_bytes=summary.text_bytes,
        quarantine=summary.quarantine,
        quarantine_file=str(output / CORPUS / QUARANTINE_NAME),
        evidence=summary.evidence,
        continents_replaced=summary.continents_replaced,
        continents=summary.countries,
        splits=split_reports(manifest),
        stages=stages,
        seconds=round(sum(stage.seconds for stage in stages.values()), 3),
        megabytes_per_second=speed(summary, stages),
    )
