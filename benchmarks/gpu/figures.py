"""Every case, each contender in a process of its own, and the rows that come of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from benchmarks.gpu.cases import (
    HUGGING_FACE,
    LENGTHS,
    MODELS,
    MODULES,
    OURS,
    PLAIN,
    PRECISIONS,
    SWEEP,
    Case,
    flops,
)  # fmt: skip
from benchmarks.processes import run_module
from benchmarks.results import Row, compare
from geo_nemo.common.errors import RunError
from geo_nemo.model.flops import peak_flops

Measure = Callable[[str, Case], dict]
CONTROL = "ours in bf16"
MFU_NOTE = "by geo_nemo.model.flops, attention inside documents, against the BF16 peak"


def in_process(contender: str, case: Case) -> dict:
    """What a contender says of a case, from a process of its own; RunError where it fails."""
    return run_module(MODULES[contender], case.to_json()).said


def rows_of(
    models=MODELS, lengths=LENGTHS, sweep=SWEEP, measure: Measure = in_process
) -> Iterator[Row]:
    """Rows of each model and length: the sweep in BF16, then the others at the best of it.

    Each comes when it is known, so that what is stopped leaves what it had.
    """
    for model in models:
        for length in lengths:
            yield from _of_shape(model, length, sweep, measure)


def _of_shape(model: str, length: int, sweep, measure: Measure) -> Iterator[Row]:
    speeds: dict[Case, float] = {}
    for size in (size for size in sweep if size >= length):
        case = Case(model, length, "bf16", size // length)
        said, reason = _try(measure, OURS, case)
        if said is None:
            yield _lacking(case, OURS, reason)
            continue
        speeds[case] = case.tokens / said["seconds"]
        yield from _figures(case, said)
    if not speeds:
        return
    best = max(speeds, key=speeds.__getitem__)
    for precision in PRECISIONS[1:]:
        case = replace(best, precision=precision)
        said, reason = _try(measure, OURS, case)
        if said is None:
            yield _lacking(case, OURS, reason)
            continue
        yield _speed(case, case.tokens / said["seconds"], CONTROL, speeds[best], "")
        yield from _figures(case, said)
    packed = replace(best, packed=True)
    said, reason = _try(measure, OURS, packed)
    yield from _figures(packed, said) if said else [_lacking(packed, OURS, reason)]
    for peer in (PLAIN, HUGGING_FACE):
        said, reason = _try(measure, peer, best)
        theirs = best.tokens / said["seconds"] if said else None
        yield _speed(best, speeds[best], peer, theirs, reason)


def _try(measure: Measure, contender: str, case: Case) -> tuple[dict | None, str]:
    try:
        return measure(contender, case), ""
    except RunError as error:
        return None, f"failed: {error}"


def _speed(case: Case, ours: float, peer: str, theirs: float | None, reason: str) -> Row:
    return compare(
        "tokens_per_second", ours, "tokens/s", peer, theirs, "more", case.name, "", reason
    )


def _figures(case: Case, said: dict) -> list[Row]:
    """Speed, MFU, memory and the parts of a step, without a peer."""
    seconds = said["seconds"]
    # The timed steps' own documents.
    work = sum(flops(case, case.warm + n) for n in range(case.steps)) / case.steps
    peak = peak_flops(said["chip"], "bf16")
    found = [("tokens_per_second", case.tokens / seconds, "tokens/s", "")]
    if peak:
        found.append(("mfu", work / seconds / peak, "of the peak", MFU_NOTE))
    found.append(("peak_memory", said["peak_bytes"] / 2**30, "GiB", ""))
    parts = said["parts"] | {"rest": seconds - sum(said["parts"].values())}
    note = "forward: of a pass of its own; rest: copies, launches and waiting for the processor"
    found += [(f"{name}_share", part / seconds, "of a step", note) for name, part in parts.items()]
    return [Row(metric, case.name, value, unit, "-", None, None, note)
            for metric, value, unit, note in found]  # fmt: skip


def _lacking(case: Case, contender: str, reason: str) -> Row:
    return Row("tokens_per_second", case.name, 0.0, "tokens/s", "-", None, None, reason)
