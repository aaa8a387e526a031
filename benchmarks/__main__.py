"""`python -m benchmarks NAME`: a benchmark is a package of this folder with a `command` module."""

import importlib
import sys
from typing import NoReturn

import click

from geo_nemo.cli.codes import INTERRUPTED, MISTAKE, code_of
from geo_nemo.cli.usage import Named, line_of
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


class Benchmarks(Named):
    """Lists benchmarks without importing them."""

    kind = "benchmark"

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
    """Run the command line; a mistake is one line and exit code 2, a failed run one and code 1."""
    try:
        status = benchmarks(prog_name="python -m benchmarks", standalone_mode=False)
    except (UserError, RunError) as error:
        _fail(str(error), code_of(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(MISTAKE)
    except click.UsageError as error:
        _fail(line_of(error), MISTAKE)
    except click.ClickException as error:
        _fail(error.format_message().rstrip("."), MISTAKE)
    except click.exceptions.Abort:
        _fail("interrupted; what is finished is kept", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    print(f"benchmarks: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
