"""Who else may read what a run writes, or go on with it."""

from typing import Annotated, Literal

from pydantic import Field

from geo_nemo.config.section import Section


class Sharing(Section):
    """Rights of the run's folder, and of everything that is written into it.

    access: `group` may read it; `group-write` may go on with it, too; `all` may read it. Null: as
        the umask of whoever starts the run says.
    group: name or number of the group that the folder and what comes into it belong to. Null: as
        the folder above it says.
    """

    access: Literal["group", "group-write", "all"] | None = None
    group: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0)] | None = None
