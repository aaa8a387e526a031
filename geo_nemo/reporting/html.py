"""Pages of HTML out of templates; a page loads nothing from anywhere."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def page(
    folder: Path, template: str, filters: Mapping[str, Callable] | None = None, **values: Any
) -> str:
    """The page of a template in `folder`; the same values give the same page.

    A template extends `base.html.j2`, takes macros of `parts.html.j2`, and may include one of this
    package's styles. Values are escaped; one that a template asks for and that is not given is an
    error. filters: further ones of that folder's templates, by name.
    """
    environment = _environment(folder)
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


def fragment(template: str, macro: str, *values: Any) -> str:
    """What a macro of this package's template makes of values, as HTML to put into a page."""
    return str(getattr(_environment(FOLDER).get_template(template).module, macro)(*values))


@cache
def _environment(folder: Path) -> Any:
    """It keeps the templates that it has compiled; one that has changed is compiled anew."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
