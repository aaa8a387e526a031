"""The report's tables of circumstances: corpus, training, versions, commands, sample sequences."""

import json
import shlex
import statistics

import numpy as np

from eval.report.inputs import Inputs, RunInput
from eval.report.sentences import place_name
from eval.report.tables import trained_words
from geo_nemo.common.counts import plural
from geo_nemo.config import Run, UserError
from geo_nemo.config.stage_sizes import taken_tokens
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.metadata.record import Kind
from geo_nemo.reporting.tables import Cell, Table
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import SplitEntry

# Sequences among which the one with the most documents is shown.
CHOSEN_FROM = 32
# Keys of a line of metrics, with the name of a field behind it.
LOSS_BY = "loss_by_"


def corpus(inputs: Inputs) -> tuple[Table, Table] | tuple[None, None]:
    """Documents and tokens by split: by continent with a total, and by country."""
    manifest = inputs.manifest
    if manifest is None:
        return None, None
    splits = {name: split for name, split in manifest.splits.items() if split.documents}
    continents: dict[str, list[str]] = {}
    for country, continent in sorted(manifest.continents.items()):
        continents.setdefault(continent, []).append(country)

    def line(name: str, small: str, countries: list[str]) -> list[Cell]:
        cells = [Cell(name, small)]
        for split in splits.values():
            documents, tokens = _sums(split, countries)
            cells += [Cell(f"{documents:,}"), Cell(f"{tokens:,}")]
        return cells

    head = ["", *(f"{name}, {what}" for name in splits for what in ("documents", "tokens"))]
    by_continent = [
        line(name, plural(len(countries), "country", "countries"), countries)
        for name, countries in sorted(continents.items())
    ]
    every = plural(len(manifest.countries), "country", "countries")
    by_continent.append(line("all", every, [*manifest.continents]))
    by_country = [
        line(place_name("country", country), manifest.continents.get(country, ""), [country])
        for country in manifest.countries
    ]
    return Table(tuple(head), by_continent), Table(tuple(head), by_country)


def quarantine(inputs: Inputs) -> Table | None:
    """Records that were set aside, by reason."""
    if inputs.manifest is None:
        return None
    counts = {reason: n for reason, n in inputs.manifest.quarantine.items() if n}
    rows = [[Cell(reason), Cell(f"{n:,}")] for reason, n in counts.items()]
    return Table(("reason", "records"), rows) if rows else None


def training(inputs: Inputs) -> Table | None:
    """What each run was and how fast; the last loss is the mean over a tenth of what was logged."""
    rows = []
    for name, run in inputs.runs.items():
        about = inputs.evaluation["runs"][name]
        config = Run.model_validate(run.record["config"])
        tokens = taken_tokens(config, about["step"])
        last = [line["loss"] for line in _last_tenth(run)]
        early = about["step"] < about["steps"]
        rows.append([
            Cell(name, trained_words(about)),
            Cell(f"{run.record['parameters']:,}" if "parameters" in run.record else "unknown"),
            Cell(f"{about['step']:,}", f"of {about['steps']:,}: stopped early" if early else "",
                 "bad" if early else ""),
            Cell(f"{tokens:,}", f"{config.train.global_batch_size:,} x {config.data.seq_length:,}"
                                " a step"),
            Cell(f"{statistics.fmean(last):.3f}" if last else "no metrics"),
            Cell(f"{_speed(run):,.0f}" if run.metrics else "no metrics"),
        ])  # fmt: skip
    head = ("run", "parameters", "steps", "tokens seen", "last loss", "tokens per second")
    return Table(head, rows) if rows else None


def training_by_group(inputs: Inputs) -> list[Table]:
    """Mean logged training loss of each group over the last tenth of the logged steps, by field."""
    lines = [line for run in inputs.runs.values() for line in _last_tenth(run)]
    keys = dict.fromkeys(key for line in lines for key in line if key.startswith(LOSS_BY))
    return [_by_field(inputs, key) for key in keys if any(line.get(key) for line in lines)]


def _by_field(inputs: Inputs, key: str) -> Table:
    found: dict[str, dict[str, float]] = {}
    for name, run in inputs.runs.items():
        losses: dict[str, list[float]] = {}
        for line in _last_tenth(run):
            for group, loss in line.get(key, {}).items():
                losses.setdefault(group, []).append(loss)
        for group, values in losses.items():
            found.setdefault(group, {})[name] = statistics.fmean(values)
    rows = [
        [
            Cell(group),
            *(Cell(f"{of[name]:.3f}" if name in of else "none") for name in inputs.runs),
        ]
        for group, of in sorted(found.items())
    ]
    return Table((key.removeprefix(LOSS_BY), *inputs.runs), rows)


def provenance(inputs: Inputs) -> list[tuple[str, str]]:
    """(what, value): by which code, from which weights and texts, with which seeds, and when."""
    evaluation = inputs.evaluation
    documents = evaluation["documents"]
    found = [("evaluated", evaluation["finished"].replace("T", " ").replace("+00:00", " UTC"))]
    version = evaluation["versions"].get("geo-nemo", "unknown")
    commit = evaluation.get("commit")
    found.append(("geo_nemo", f"{version}, commit {commit[:12]}" if commit else version))
    found.append(("texts", f"{documents['store_hash']}, split {documents['split']}"))
    found.append(("seed of the evaluation", str(evaluation["config"]["seed"])))
    for name, about in evaluation["runs"].items():
        record = inputs.runs[name].record if name in inputs.runs else {}
        seed = record.get("config", {}).get("seed")
        parts = [about["checkpoint"], about.get("identity", ""), f"policy {about['policy_hash']}"]
        parts += [f"seed {seed}"] if seed is not None else []
        parts += [f"trained {record['started'][:10]}"] if record.get("started") else []
        found.append((f"model {name}", ", ".join(filter(None, parts))))
    return found


def commands(inputs: Inputs) -> list[tuple[str, str]]:
    """(what, command) of trainings and evaluation, as they were typed."""
    found = [(f"Training of run {name}", _command(run.record.get("command")))
             for name, run in inputs.runs.items()]  # fmt: skip
    found.append(("Evaluation", _command(inputs.evaluation["command"])))
    return [(what, command) for what, command in found if command]


def configs(inputs: Inputs) -> list[tuple[str, str]]:
    """(what, resolved config as JSON)."""
    found = [
        (f"the training of run {name}", run.record["config"]) for name, run in inputs.runs.items()
    ]
    found.append(("the evaluation", inputs.evaluation["config"]))
    return [(what, json.dumps(config, indent=2)) for what, config in found]


def hashes(inputs: Inputs) -> Table:
    """Policies, by stage and in evaluation, and what else identifies the inputs."""
    rows = []
    for name, about in inputs.evaluation["runs"].items():
        for stage, value in about["policy_hashes"].items():
            rows.append([Cell(f"policy of run {name}, stage {stage}"), Cell(value)])
        rows.append([Cell(f"policy of run {name}, evaluation"), Cell(about["policy_hash"])])
        rows.append([Cell(f"checkpoint of run {name}"), Cell(about["checkpoint"])])
    documents = inputs.evaluation["documents"]
    rows.append([Cell("token store"), Cell(documents["store_hash"])])
    rows.append([Cell("tokenizer"), Cell(documents["tokenizer_sha256"][:16])])
    return Table(("", "hash or name"), rows, text=2)


def versions(inputs: Inputs) -> Table:
    """Versions that evaluated, and those that trained where they differ."""
    here = inputs.evaluation["versions"]
    rows = []
    for package, version in here.items():
        others = {
            run.record.get("versions", {}).get(package) for run in inputs.runs.values()
        } - {None, version, "absent"}  # fmt: skip
        trained = ", ".join(sorted(map(str, others)))
        rows.append([Cell(package), Cell(version), Cell(trained or "the same")])
    return Table(("package", "evaluated with", "trained with"), rows, text=3)


def sample_sequences(inputs: Inputs) -> tuple[list[tuple[str, str]], str]:
    """(stage, HTML) of one packed sequence of each stage of the first conditioned run, or why none.

    It is built as training builds it, from the store that it trained on.
    """
    from geo_nemo.data.audit.render import sequence_html
    from geo_nemo.data.dataset import stage_dataset
    from geo_nemo.data.groups import grouping_of

    if not inputs.runs or inputs.store is None:
        return [], "no training run was evaluated on a token store"
    about = inputs.evaluation["runs"]
    name = next((n for n in inputs.runs if about[n]["conditioned"]), next(iter(inputs.runs)))
    config = Run.model_validate(inputs.runs[name].record["config"])
    try:
        store = _training_store(inputs, name, config)
        split, tokenizer = store.split("train"), store.tokenizer()
        sample = inputs.config.sample_sequence
        found = []
        groups = grouping_of(store, config.groups)
        for stage in config.stages:
            number = CHOSEN_FROM if sample is None else sample + 1
            dataset = stage_dataset(config, split, tokenizer, stage, number, groups=groups)
            sequences = [dataset[i] for i in (range(number) if sample is None else [sample])]
            sequence = max(sequences, key=_shown_documents)
            found.append((stage, sequence_html(sequence, tokenizer, groups.names)))
    except UserError as error:
        return [], str(error)
    return found, name


def _shown_documents(sequence: PackedSequence) -> tuple[int, int]:
    """Documents of a sequence that show their title, and its segments: the more, the better."""
    titled = np.unique(sequence.segment_ids[sequence.label_kinds == Kind.TITLE])
    return len(titled), int(sequence.segment_ids.max())


def _training_store(inputs: Inputs, name: str, config: Run) -> TokenStore:
    if inputs.evaluation["runs"][name]["same_store"]:
        return inputs.store
    store = TokenStore.open(config.data.store, cache_dir=config.data.cache_dir)
    if store.hash != inputs.runs[name].record.get("store_hash"):
        raise UserError(f"{config.data.store} is no longer the store that {name} trained on")
    return store


def _sums(split: SplitEntry, countries: list[str]) -> tuple[int, int]:
    entries = [split.by_country[c] for c in countries if c in split.by_country]
    return sum(e.documents for e in entries), sum(e.tokens for e in entries)


def _last_tenth(run: RunInput) -> list[dict]:
    return run.metrics[-max(1, len(run.metrics) // 10) :]


def _speed(run: RunInput) -> float:
    return float(np.median([line["tokens_per_second"] for line in run.metrics]))


def _command(command: str | list[str] | None) -> str:
    return shlex.join(command) if isinstance(command, list) else command or ""
