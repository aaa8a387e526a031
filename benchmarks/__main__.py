"""`python -m benchmarks NAME`: a benchmark is a package of this folder with a `command` module."""

import difflib
import importlib
import sys
from typing import NoReturn

import click

from geo_nemo.cli.codes import FAILED, MISTAKE
from geo_nemo.common.errors import RunError, StorageError, UserError

INTERRUPTED = 130
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

    def resolve_command(self, context: click.Context, args: list[str]):
        name = args[0]
        if name not in BENCHMARKS and not name.startswith("-"):
            near = difflib.get_close_matches(name, BENCHMARKS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(BENCHMARKS)}"
            raise click.UsageError(f"no benchmark {name!r}; {hint}", context)
        return super().resolve_command(context, args)

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
    except StorageError as error:
        _fail(str(error), FAILED)
    except UserError as error:
        _fail(str(error), MISTAKE)
    except RunError as error:
        _fail(str(error), FAILED)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(MISTAKE)
    except click.ClickException as error:
        _fail(f"{error.format_message().rstrip('.')}{_example(error)}", MISTAKE)
    except click.exceptions.Abort:
        _fail("interrupted; what is finished is kept", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _example(error: click.ClickException) -> str:
    """How a command is written, where an argument of it is missing or too many."""
    context = getattr(error, "ctx", None)
    epilog = context.command.epilog if context else None
    counts = error.format_message().startswith(("Missing argument", "Got unexpected extra"))
    return f"; {epilog[0].lower()}{epilog[1:]}" if epilog and counts else ""


def _fail(message: str, code: int) -> NoReturn:
    print(f"benchmarks: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
