"""Probes models: hosts, layers, regions, membership, extraction, order; each part that can be done.

1. Texts, models and tokenizers are opened as an evaluation opens them.
2. Each model is loaded once; its hidden states are taken, and its losses on training's documents.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from eval.bootstrap import clustered_wilson
from eval.cells import Loader, load_model
from eval.conditions import generator, view
from eval.documents import shown_texts
from eval.overlap import TRAIN
from eval.perplexity import score_documents
from eval.plan import Plan, make_plan
from eval.probe import layers
from eval.probe.config import PARTS, USUAL_FIELDS, ProbeConfig
from eval.probe.contamination import body_losses, min_k, order_test, read_benchmark
from eval.probe.membership import membership
from eval.scorers.base import HiddenStates, Scorer
from eval.summary import commit, versions
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.common.secrets import all_masked
from geo_nemo.config import MetadataPolicy, RunError, UserError
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.fields import lines_of
from geo_nemo.metadata.host_signal import host_signal
from geo_nemo.metadata.record import Kind

FORMAT = 1
CONDITIONS = ("with", "without")


def plan_probe(config: ProbeConfig) -> tuple[Plan, Plan | None]:
    """The split's documents, and those of training on the same hosts; None without any."""
    wanted = config.only or ("layers", "membership", "extraction")
    conditions = tuple(dict.fromkeys((config.told, *CONDITIONS)))
    if config.benchmark is not None:
        read_benchmark(Path(config.benchmark))
    plan = make_plan(config.evaluation(config.split, conditions))
    for field in config.fields:
        values = _values(plan, field)
        # The usual fields are in every probe, also of texts of one host a country.
        if "layers" in (config.only or ()) or ("layers" in wanted and field not in USUAL_FIELDS):
            _check_shared(plan, config, field, values)
    store = getattr(plan.texts, "store", None)
    trained = None
    if store is not None and TRAIN in store.manifest.splits and config.split != TRAIN:
        trained = make_plan(config.evaluation(TRAIN, CONDITIONS))
    if trained is None and config.only and {"membership", "extraction"} & set(wanted):
        raise UserError(
            f"only={config.only[0]}: give store=STORE with a split {TRAIN}, and another split to "
            "probe: what was trained on is not known otherwise"
        )
    return plan, trained


def run_probe(
    config: ProbeConfig,
    load: Loader,
    progress: Progress = no_progress,
    command: Sequence[str] = (),
    plans: tuple[Plan, Plan | None] | None = None,
) -> dict[str, Any]:
    """The content of `probe.json`. Raises as `evaluate`."""
    plan, trained = plans or plan_probe(config)
    parts = config.only or PARTS
    records = [plan.items.record(i) for i in plan.documents.index.tolist()]
    result: dict[str, Any] = {
        "format": FORMAT, "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": all_masked(command), "config": config.model_dump(mode="json"),
        "commit": commit(), "versions": versions(), "documents": len(records), "hosts": None,
        "runs": {},
    }  # fmt: skip
    if "hosts" in parts:
        result["hosts"] = _hosts(records)
    if {"layers", "regions", "membership", "extraction", "order"} & set(parts):
        for run, model in plan.models.items():
            progress(f"load {run}", 0, 1)
            scorer = load_model(model, plan.tokenizers[run], plan.seq_length, load)
            progress(f"load {run}", 1, 1)
            result["runs"][run] = {
                "folder": str(model.folder.absolute()), "checkpoint": model.checkpoint,
                **_states(config, plan, run, scorer, records, parts, progress),
                **_trained(config, plan, trained, run, scorer, parts, progress),
                **_order(config, plan, run, scorer, parts, progress),
            }  # fmt: skip
            del scorer  # before the next one comes: there is never more than one in memory
    return result


def _hosts(records: Sequence[Any]) -> dict[str, Any] | None:
    by_host = {record.host: record.country for record in records if record.host}
    found = host_signal(list(by_host), list(by_host.values()))
    if found is None:
        return None
    lines = []
    for name, of in (("host", found.whole), ("host without its ending", found.stem)):
        if of is not None:
            lines.append({"features": name, "tested": of.tested, "accuracy": of.accuracy,
                          "majority": of.majority, "chance": of.chance})  # fmt: skip
    return {"hosts": found.hosts, "countries": found.countries, "national": found.national,
            "agreeing": found.agreeing, "probes": lines}  # fmt: skip


def _states(
    config: ProbeConfig, plan: Plan, run: str, scorer: Scorer, records: Sequence[Any],
    parts: Sequence[str], progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    if not {"layers", "regions"} & set(parts):
        return {}
    if not isinstance(scorer, HiddenStates):
        if config.only and {"layers", "regions"} & set(config.only):
            raise UserError(
                f"runs.{run} is a training run, whose hidden states are not read: geo-nemo export "
                "it, and give the export"
            )
        return {"layers": None, "regions": None}
    items = [_composed(plan, run, config.told, place) for place in range(len(records))]
    bodies = [np.flatnonzero(item.kinds[1:] == Kind.BODY) for item in items]
    if any(len(body) == 0 for body in bodies):
        # A document of a title alone is its last token.
        last = [np.array([len(item.ids) - 2]) for item in items]
        bodies = [body if len(body) else end for body, end in zip(bodies, last, strict=True)]
    states = scorer.hidden_means([item.ids for item in items], [b + 1 for b in bodies], progress)
    bad = np.flatnonzero(~np.isfinite(states).all((0, 2)))
    if len(bad):
        raise RunError(
            f"run {run}, document {plan.documents.index[bad[0]]}: a hidden state is not finite; "
            "the model has diverged or overflows in its precision"
        )
    hosts = [record.host for record in records]
    tested = layers.held_back_hosts(hosts, config.test, config.seed)
    found: dict[str, Any] = {}
    if "layers" in parts:
        values = {field: _values(plan, field) for field in config.fields}
        found["layers"] = layers.of_fields(
            states, values, np.array(hosts), tested, config.penalty, config.confidence
        )
    if "regions" in parts:
        country, continent = (_values(plan, name) for name in ("country", "continent"))
        found["regions"] = layers.of_regions(states, country, continent)
    return found


def _composed(plan: Plan, run: str, condition: str, place: int) -> Composed:
    documents, composer = plan.documents_of[run], view(condition, plan.composers[run])
    title, body = shown_texts(plan.tokens[run], documents, place, composer)
    record = plan.shown.record_of(condition, plan.composers[run])(int(documents.index[place]))
    return composer.join(composer.prefix_ids(record), title, body, final=False)


def _values(plan: Plan, field: str) -> np.ndarray:
    """A field's values of the scored documents, str [n]; `UserError` where there is no such."""
    plan.texts.check_groups((field,), "fields")
    (line,) = lines_of(MetadataPolicy(fields=(field,)))
    records = (plan.items.record(i) for i in plan.documents.index.tolist())
    return np.array([line.value(record) or "" for record in records])


def _check_shared(plan: Plan, config: ProbeConfig, field: str, values: np.ndarray) -> None:
    """Refuses a field that a probe cannot tell: one whose values no two hosts share, as `host`."""
    hosts = [plan.items.record(i).host for i in plan.documents.index.tolist()]
    tested = layers.held_back_hosts(hosts, config.test, config.seed)
    both = set(values[tested]) & set(values[~tested]) - {""}
    if tested.any() and not tested.all() and not both:
        raise UserError(
            f"fields={field}: no value of hosts that are tested is one of those fitted, so "
            "that no probe can tell it; take a field whose values hosts share, as country"
        )


def _trained(
    config: ProbeConfig, plan: Plan, trained: Plan | None, run: str, scorer: Scorer,
    parts: Sequence[str], progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    if trained is None or not {"membership", "extraction"} & set(parts):
        return {}
    both = np.intersect1d(*(np.asarray(p.items.host)[p.documents.index] for p in (plan, trained)))
    found: dict[str, Any] = {}
    if "membership" in parts:
        rates, hosts = [], []
        for each in (trained, plan):
            documents = each.documents_of[run]
            host = np.asarray(each.items.host)[documents.index]
            places = np.flatnonzero(np.isin(host, both) & (documents.body_tokens > 0))
            hosts.append(host[places])
            documents = documents.take(places)
            rates.append({
                condition: score_documents(
                    scorer, each.tokens[run], documents, view(condition, each.composers[run]),
                    each.shown.record_of(condition, each.composers[run]),
                    packed_length=each.packed_length, run=run, condition=condition,
                    progress=progress,
                ).body / documents.body_tokens
                for condition in CONDITIONS if len(documents)
            })  # fmt: skip
            if len(documents):
                items = [_composed(each, run, "without", place) for place in places.tolist()]
                pad = each.tokenizers[run].pad_id
                losses = body_losses(scorer, items, each.packed_length, pad)
                rates[-1]["min_k"] = np.array([min_k(loss) for loss in losses])
        found["membership"] = membership(
            *rates, samples=config.bootstrap_samples, confidence=config.confidence,
            rng=generator(config.seed, f"membership/{run}"), hosts=tuple(hosts),
        )  # fmt: skip
    if "extraction" in parts and isinstance(scorer, HiddenStates):
        found["extraction"] = [
            _extracted(config, each, run, scorer, condition, what)
            for each, what in ((trained, TRAIN), (plan, config.split))
            for condition in CONDITIONS
        ]
    return found


def _order(
    config: ProbeConfig, plan: Plan, run: str, scorer: Scorer, parts: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    if config.benchmark is None or "order" not in parts:
        return {}
    found = order_test(
        scorer, plan.tokenizers[run], read_benchmark(Path(config.benchmark)),
        seq_length=plan.seq_length, packed_length=plan.packed_length,
        permutations=config.permutations, rng=generator(config.seed, f"order/{run}"),
        progress=progress,
    )  # fmt: skip
    return {"order": {"benchmark": str(config.benchmark), **found}}


def _extracted(
    config: ProbeConfig, plan: Plan, run: str, scorer: HiddenStates, condition: str, split: str
) -> dict[str, Any]:
    """Of bodies that are long enough, how many go on word for word when the likeliest is taken."""
    size = config.prompt + config.extracted
    places = np.flatnonzero(plan.documents_of[run].body_tokens >= size)
    texts, asked = [], []
    for place in places.tolist():
        item = _composed(plan, run, condition, place)
        start = int(np.flatnonzero(item.kinds == Kind.BODY)[0]) + config.prompt
        texts.append(item.ids[: start + config.extracted])
        asked.append(np.arange(start - 1, start - 1 + config.extracted))
    right = scorer.greedy(texts, asked) if texts else np.zeros(0, bool)
    low = high = None
    if len(right):
        # A host's documents have its standing phrases in common; one of no host is by itself.
        hosts = np.asarray(plan.items.host)[plan.documents_of[run].index[places]]
        nowhere = np.array([plan.items.hosts[number] == "" for number in hosts.tolist()])
        apart = np.where(nowhere, -1 - np.arange(len(hosts)), hosts)
        low, high = clustered_wilson(right, apart, config.confidence)
    return {"split": split, "condition": condition, "documents": len(right),
            "extracted": int(right.sum()), "low": low, "high": high}  # fmt: skip
