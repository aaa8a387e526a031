"""What a mistaken command line is told: the name that was meant, how the command is written."""

import difflib

import click


class Named(click.Group):
    """Lists its commands in their own order; a name of none of them is told with the nearest one.

    kind: what its commands are called. of: behind that name, as " of store".
    """

    kind, of = "command", ""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, context: click.Context, args: list[str]):
        name, names = args[0], self.list_commands(context)
        if name not in names and not name.startswith("-"):
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
            raise click.UsageError(f"no {self.kind} {name!r}{self.of}; {hint}", context)
        return super().resolve_command(context, args)


def line_of(error: click.UsageError) -> str:
    """The line that tells of it; with an example where an argument is missing or too many, or an
    option is missing."""
    said = error.format_message().rstrip(".")
    epilog = error.ctx.command.epilog if error.ctx else None
    is_missing = isinstance(error, click.MissingParameter)
    counts = is_missing or said.startswith("Got unexpected extra argument")
    return f"{said}; {epilog[0].lower()}{epilog[1:]}" if epilog and counts else said
