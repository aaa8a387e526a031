"""The command `geo-nemo`: each subcommand is a module of this folder, imported when it is used."""

import contextlib
import importlib
import io
import os
import resource
import sys
import traceback

import click

from geo_nemo import __version__
from geo_nemo.cli.codes import FAILED, INTERRUPTED, MISTAKE, code_of
from geo_nemo.cli.usage import Named, line_of
from geo_nemo.common import log
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.common.imports import quick_imports
from geo_nemo.common.secrets import masked
from geo_nemo.common.stuck import end_process
from geo_nemo.runtime.sharing import use_umask

COMMANDS = {
    "synth": "generate a synthetic geo-news corpus with known truth",
    "prep": "turn raw records into an annotated corpus and a token store",
    "store": "verify, merge, sample, inspect, count, export and move token stores",
    "trace": "find the documents that hold what a model wrote, and who has read them",
    "outlets": "check a table of outlets, see what it changes, ask about a host",
    "audit": "show packed sequences of a stage and check the label contract",
    "plan": "sizes, memory, epochs by country, FLOPs and time of a run, without it",
    "select-tokens": "which tokens are worth training on, by a reference model",
    "learn-weights": "a proxy run learns how often each country should be drawn",
    "index": "plan the rows of every stage ahead of a training",
    "train": "pre-train: conditioning stage, then cooldown",
    "launch": "submit a training to SLURM; it is requeued until it is finished",
    "eval": "perplexity with, without and with wrong metadata; country questions",
    "atlas": "models on the geographic benchmarks that are here",
    "probe": "what hidden states and losses tell of places, hosts and training texts",
    "export": "a trained model as a Hugging Face folder",
    "tune": "tune an export on instructions, with metadata in the turn",
    "generate": "have a model write: told a country or another, side by side",
    "try": "a page for this machine: models and countries side by side",
    "report": "one HTML page: corpus, batches, losses, matrix, questions",
    "analyse": "local or global, a region left out, fields, sizes, tokens saved",
    "demo": "the whole way on a synthetic corpus or on your file",
    "recipes": "list the recipes, show one as a whole config, compare two",
    "status": "how runs stand: step, speed, time left, restarts, last error",
    "notify": "tell by web or command how a run ended, as its settings say",
    "gc": "list what may go of runs, preparations and caches; remove it when asked",
    "doctor": "compare this machine with what geo_nemo needs",
    "allreduce": "measure the all-reduce of a job's processes",
}
# Whose names are no module's in Python.
_MODULES = {"try": "try_page"}


class LazyGroup(Named):
    """Lists commands without importing them, so that --help is quick and needs no torch."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = _MODULES.get(name, name.replace("-", "_"))
        with quick_imports():
            return importlib.import_module(f"geo_nemo.cli.{module}").command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: geo-nemo demo --out runs/demo",
)
@click.version_option(__version__)
@click.option("-v", "--verbose", "level", flag_value="debug", help="Tell more, of every rank.")
@click.option("-q", "--quiet", "level", flag_value="error", help="Tell errors alone.")
def cli(level: str | None) -> None:
    """Pre-train language models that know where a text comes from.

    Settings are given as key=value, as in the recipes: geo-nemo train experiment=demo train.lr=1e-3

    What goes on is told on the error output; GEO_NEMO_LOG=debug, info, warning or error does what
    --verbose and --quiet do, for every process of a job.
    """
    asked = level or os.environ.get(log.VARIABLE)
    if asked:
        os.environ[log.VARIABLE] = log.check_level(asked)  # children too


def main() -> None:
    """Run the command line; a mistake is one line and exit code 2, a failed run one and code 1."""
    try:
        _take_any_encoding()
        use_umask()
        _raise_open_files()
        status = cli(standalone_mode=False)
        sys.stdout.flush()
    except (UserError, RunError) as error:
        _fail(str(error), code_of(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        end_process(MISTAKE)
    except click.exceptions.NoSuchOption as error:
        name = error.option_name.lstrip("-").partition("=")[0].replace("-", "_")
        setting = f"; a setting is written {name}=..." if not error.possibilities else ""
        _fail(error.format_message().rstrip(".") + setting, MISTAKE)
    except click.UsageError as error:
        _fail(line_of(error), MISTAKE)
    except click.ClickException as error:
        _fail(error.format_message(), MISTAKE)
    except click.exceptions.Abort:
        line = "interrupted; what is finished is kept, and the same command goes on from there"
        print(f"geo-nemo: {line}", file=sys.stderr)
        end_process(INTERRUPTED)
    except BrokenPipeError:
        _give_up_output()
        end_process(FAILED)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and not _output_takes_a_line():
            _give_up_output()
            _fail(f"standard output takes no more: {error.strerror}", FAILED)
        # A bug, as Python tells it; but this process may have to end without waiting for others.
        print(masked(traceback.format_exc()), end="", file=sys.stderr)
        end_process(FAILED)
    end_process(status if isinstance(status, int) else 0)


def _raise_open_files() -> None:
    """Let this process and its children open as many files as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS names a hard limit that it refuses.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _take_any_encoding() -> None:
    """Have outputs of a locale without some character show its number, and not fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _output_takes_a_line() -> bool:
    """Whether standard output can be written; that of a command that failed for it cannot."""
    try:
        print(flush=True)
    except OSError:
        return False
    return True


def _give_up_output() -> None:
    """Let what is still to be written go nowhere, so that Python's end does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> None:
    print(f"geo-nemo: {masked(' '.join(message.split()))}", file=sys.stderr)
    end_process(code)


if __name__ == "__main__":
    main()
