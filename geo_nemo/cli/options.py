"""Arguments that several commands share."""

import click

OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
DryRun = click.option(
    "--dry-run", is_flag=True, help="Check everything, print the plan, start nothing."
)
