"""Fields of the user's own that a page says in its meta tags."""

from collections.abc import Mapping
from typing import Any

from data_prep.read.fields import EXTRA, Fields


class OwnMetas:
    """Which meta tags a source's `fields.extra` names.

    names: by our names. metas: for `extractor`.
    """

    def __init__(self, fields: Fields):
        self._fields = fields
        self.names = {
            ours: theirs.lower() for ours, theirs in fields.names.items() if ours.startswith(EXTRA)
        }
        self.metas = tuple(sorted(set(self.names.values())))

    def take(
        self, page: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Their values under our names, out of what the extractor found.

        headers: of an archive's record and of its response; a name among them is theirs.
        """
        found, names = page.pop("meta", {}), page.pop("meta_names", [])
        headers = headers or {}
        if self.names and not self._fields.seen:
            self._fields.see([*names, *headers])
        return {
            ours: headers.get(name) or found[name]
            for ours, name in self.names.items()
            if headers.get(name) or name in found
        }
