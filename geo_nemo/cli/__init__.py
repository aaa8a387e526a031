"""The command `geo-nemo`, a module a subcommand."""
