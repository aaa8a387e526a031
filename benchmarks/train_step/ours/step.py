"""Our train step, in a process of its own: SHAPE, and a step for each line that it is told."""

import sys

from benchmarks.train_step.llama import Shape
from benchmarks.train_step.ours.model import CPU, batch, make_engine
from benchmarks.train_step.stepping import answer
from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import process_groups


def main() -> None:
    shape = Shape.from_json(sys.argv[1])
    with process_groups(Parallel(), CPU, seed=0):
        engine = make_engine(shape)

        def step(number: int) -> float:
            return engine.train_step([batch(shape, number)], number).loss

        answer(step)


if __name__ == "__main__":
    main()
