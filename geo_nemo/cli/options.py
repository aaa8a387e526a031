"""Arguments that several commands share, and how quiet their libraries are."""

import warnings
from collections.abc import Sequence

import click

OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
DryRun = click.option(
    "--dry-run", is_flag=True, help="Check everything, print the plan, start nothing."
)


def with_experiment(words: Sequence[str]) -> tuple[str, ...]:
    """Settings, of which a word alone is the name of an experiment."""
    return tuple(word if "=" in word else f"experiment={word}" for word in words)


def quiet_libraries() -> None:
    """Drop Megatron-Core's and torch's warnings, which are not for this command's user.

    One comes with the import of each fused kernel that a CPU has not, and with each deprecation.
    """
    warnings.filterwarnings("ignore", module=r"(megatron|torch)(\..*)?$")
