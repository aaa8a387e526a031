"""Our train step on a device: CASE as JSON; says its times."""

import sys

import numpy as np

from benchmarks.gpu.cases import Case, lengths, tokens
from benchmarks.gpu.timing import Clock, device_of, measure, say
from geo_nemo.config import Parallel
from geo_nemo.data.batches import Batch, stack_sequences
from geo_nemo.data.sequences import PackedSequence


def batch(case: Case, step: int) -> Batch:
    """The packed sequences of a step, all of their tokens trained."""
    sequences = [_sequence(drawn, sizes) for drawn, sizes in zip(tokens(case, step), lengths(case,
                                                       step), strict=True)]  # fmt: skip
    return stack_sequences(sequences, list(range(case.rows)))


def _sequence(drawn: np.ndarray, sizes: np.ndarray) -> PackedSequence:
    length = len(drawn) - 1
    borders = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return PackedSequence(
        tokens=drawn[:-1], labels=drawn[1:],
        position_ids=np.arange(length) - np.repeat(borders[:-1], sizes),
        loss_mask=np.ones(length, np.float32), group_ids=np.zeros(length, np.int64),
        label_kinds=np.zeros(length, np.uint8),
        cu_seqlens=borders, max_seqlen=int(sizes.max()),
    )  # fmt: skip


def found(case: Case) -> dict:
    """What `measure` says of our step; process groups must be open."""
    from geo_nemo.train.engine import Engine

    device = device_of(case)
    engine = Engine(case.run(), case.vocab_size, 1, device)

    batches = [batch(case, number) for number in range(case.warm + case.steps)]

    def step(number: int, clock: Clock) -> float:
        # Forward and backward are one call of Megatron-Core's schedule, which ends at the check.
        clock.begin("backward")
        loss = engine.train_step(
            [batches[number]], number, lambda *_: clock.begin("optimizer")
        ).loss
        clock.begin(None)
        return loss

    said = measure(case, device, step)
    said["parts"]["forward"] = _forward_seconds(batches[0], engine, device)
    said["parts"]["backward"] -= said["parts"]["forward"]
    return said


def _forward_seconds(of: Batch, engine, device) -> float:
    """Seconds of a forward pass, by one of its own that keeps nothing for gradients."""
    clock = Clock(device)
    engine.evaluate([of])
    clock.synchronize()
    clock.begin("forward")
    engine.evaluate([of])
    clock.begin(None)
    return clock.take()["forward"]


def main() -> None:
    case = Case.from_json(sys.argv[1])
    from geo_nemo.runtime.distributed import process_groups

    with process_groups(Parallel(), device_of(case), seed=0):
        say(found(case))


if __name__ == "__main__":
    main()
