"""Rights of what is written: the umask, and the group of a folder. Needs no torch."""

import grp
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import make_folder, writing

if TYPE_CHECKING:
    from geo_nemo.config.sharing import Sharing

UMASK = "GEO_NEMO_UMASK"
UMASKS = {"group": 0o027, "group-write": 0o007, "all": 0o022}


def use_umask(environment: Mapping[str, str] = os.environ) -> None:
    """Take the umask that GEO_NEMO_UMASK gives, for whatever this process writes."""
    given = environment.get(UMASK, "")
    if not given:
        return
    if not re.fullmatch(r"0?[0-7]{3}", given) or int(given, 8) & stat.S_IRWXU:
        raise UserError(f"{UMASK}={given} is no umask that leaves you your files: give 027, or 007")
    os.umask(int(given, 8))


def share(settings: "Sharing", folder: Path, is_first: bool) -> None:
    """Take the umask of `access`; on rank 0 make `folder`, and give it to `group`.

    What is made in it later belongs to that group, too (the setgid bit). Raises `UserError`.
    """
    if settings.access is not None:
        os.umask(UMASKS[settings.access])
    if not is_first or (settings.group is None and settings.access is None):
        return
    make_folder(folder)
    # One that is another user's has its rights already.
    with suppress(PermissionError):
        if settings.group is not None:
            _give_to(folder, _group_of(settings.group))
        if settings.access is not None:
            wanted = 0o777 & ~UMASKS[settings.access]
            special = stat.S_IMODE(folder.stat().st_mode) & ~0o777
            folder.chmod(wanted | special)


def _give_to(folder: Path, group: int) -> None:
    state = folder.stat()
    if state.st_gid == group and state.st_mode & stat.S_ISGID:
        return
    if state.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        return
    try:
        os.chown(folder, -1, group)
    except PermissionError:
        raise UserError(
            f"sharing.group: {folder} cannot be given to group {group}: you are not in it"
        ) from None
    with writing(folder):
        folder.chmod(stat.S_IMODE(state.st_mode) | stat.S_ISGID)


def _group_of(group: str | int) -> int:
    if isinstance(group, int) or group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UserError(
            f"sharing.group={group}: there is no such group here: see id, or give its number"
        ) from None
