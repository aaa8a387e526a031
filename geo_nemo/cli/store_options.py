"""Arguments and options that several commands of `geo-nemo store` have."""

import click

from geo_nemo.cli.store_move import StorePlace
from geo_nemo.config.template import LOCALIZATION, TEMPLATES

STORE = click.argument("store", metavar="STORE", type=StorePlace())
POLICY = click.option(
    "--policy",
    default="all",
    show_default=True,
    metavar="FIELDS",
    help="Metadata fields in their order, as in url,country or url:path,year; or none; or all, "
    "which is url,country,continent.",
)
URL_FORM = click.option(
    "--url-form",
    type=click.Choice(("host", "path", "full")),
    default="host",
    show_default=True,
    help="What of the URL is shown.",
)
POSITION = click.option(
    "--position",
    type=click.Choice(("prepend", "append")),
    default="prepend",
    show_default=True,
    help="Metadata before the text, or after it.",
)
TEMPLATE = click.option(
    "--template",
    type=click.Choice(tuple(TEMPLATES)),
    default=LOCALIZATION,
    show_default=True,
    help="How metadata, title and body stand in the text.",
)
WHERE = click.option(
    "--where",
    multiple=True,
    metavar="CONDITIONS",
    help="Only documents such as 'country=gb|ie,year>=2020' (quoted); all conditions must hold. "
    "Columns: country, continent, host (host=*.co.uk), source, year, quality, tokens, and "
    "where the store has them date, language and fields of your own.",
)
