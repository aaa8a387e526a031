"""Our train step, in a process of its own: SHAPE STEPS, and JSON of `time_steps` at the end."""

import sys

import orjson

from benchmarks.train_step.llama import Shape, time_steps
from benchmarks.train_step.ours.model import CPU, batch, make_engine
from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import process_groups


def main() -> None:
    shape, count = Shape.from_json(sys.argv[1]), int(sys.argv[2])
    with process_groups(Parallel(), CPU, seed=0):
        engine = make_engine(shape)

        def step(number: int) -> float:
            return engine.train_step([batch(shape, number)], number).loss

        print(orjson.dumps(time_steps(step, count)).decode())


if __name__ == "__main__":
    main()
