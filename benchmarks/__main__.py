"""`python -m benchmarks NAME`: a benchmark is a package of this folder with a `command` module."""

import importlib
import sys

import click

from geo_nemo.common.errors import RunError, UserError

BENCHMARKS = {
    "prep": "data preparation: tokenising, JSONL to store, deduplication, URLs, memory",
    "loader": "packed sequences beside Megatron-Core's dataset; time and memory of the index",
    "train_step": "training: the cost of a save, the train step beside Hugging Face's on a CPU",
    "eval": "evaluation: documents beside transformers, questions beside lm-evaluation-harness",
    "answers": "questions after tuning: told its country, told nothing, beside an ordinary model",
    "experiment": "the method itself: runs, seeds and claims of a file, with a verdict on each",
    "law": "how deficit and gain move with dropout, cooldown, tokens and size; trains nothing",
    "gpu_report": "a folder for a GPU that is lent for minutes; tests and speeds there",
    "gpu": "training on one GPU: speed, MFU, memory; BF16, FP8, plain PyTorch, Hugging Face",
}


class Benchmarks(click.Group):
    """Lists benchmarks without importing them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(BENCHMARKS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in BENCHMARKS:
            return None
        return importlib.import_module(f"benchmarks.{name}.command").command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Benchmarks"):
            formatter.write_dl(list(BENCHMARKS.items()))


@click.group(
    cls=Benchmarks,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m benchmarks prep --quick --json prep.json",
)
def benchmarks() -> None:
    """Measure ours beside other tools, in one call."""


def main() -> None:
    try:
        benchmarks(prog_name="python -m benchmarks")
    except (UserError, RunError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UserError) else 1)


if __name__ == "__main__":
    main()
