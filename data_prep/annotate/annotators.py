"""Annotators: what else is found out about a document, kept as metadata fields; by name."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from data_prep.config import Annotate
from data_prep.config.annotate import SETTING
from data_prep.config.kinds import ANNOTATORS
from data_prep.document import Document
from data_prep.read.fields import EXTRA
from geo_nemo.common.errors import RunError
from geo_nemo.config.plugins import blaming
from geo_nemo.store.manifest import FieldKind

_MEND = f"mend it or take it out of {SETTING}, then run the same command again"


class FieldAnnotator(Protocol):
    """Looks at one document after another, as cleaned; made anew in every process with the
    recipe's options by name.

    fields: types of the metadata fields that it gives, by name. A column of the input (of a web
        page, a meta tag) that is called so is read for it. fingerprint: of the files that it has
        read, where it reads any: what they hold decides keys.
    """

    fields: ClassVar[Mapping[str, FieldKind]]

    def __call__(self, document: Document, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """Values by field: text, a number, a truth value, or a list of them.

        said: what the record itself has under names of `fields`. It stays where no value is given.
        """
        ...


class Annotators:
    """Those of a config. UserError for one that does not exist, or refuses its options."""

    def __init__(self, annotate: Annotate):
        self._held = [
            (name, ANNOTATORS.make(name, SETTING, options=annotate.options.get(name, {})))
            for name in annotate.annotators
        ]

    def of(self, document: Document, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """`fields` of the document's record, with what annotators give. RunError if one fails."""
        for name, held in self._held:
            fields = {**fields, **self._found(name, held, document, fields)}
        return fields

    def key(self) -> str:
        """Who they are, and what they have read; empty without any."""
        return " ".join(
            f"{name} {ANNOTATORS.brought(name, SETTING) or held.version} {_read_by(name, held)}"
            for name, held in self._held
        )

    def _found(
        self, name: str, held: FieldAnnotator, document: Document, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        said = {f: fields[EXTRA + f] for f in held.fields if EXTRA + f in fields}
        what = f"the annotator {name}, at the document {document.url},"
        with blaming(what, _MEND):
            found = dict(held(document, said))
            for value in found.values():
                for each in value if isinstance(value, list) else [value]:
                    (each if isinstance(each, str) else "").encode()  # no lone surrogate
        for field, value in found.items():
            values = value if isinstance(value, list) else [value]
            sound = all(each is None or isinstance(each, str | int | float) for each in values)
            if field not in held.fields or not sound:
                raise RunError(
                    f"{what} gives {field}={value!r:.100}: it must be text, a number, a truth "
                    f"value or a list of them, for one of {', '.join(held.fields)}; {_MEND}"
                )
        return {EXTRA + field: value for field, value in found.items()}


def _read_by(name: str, held: FieldAnnotator) -> str:
    with blaming(f"the annotator {name}, at its fingerprint,", _MEND):
        return str(getattr(held, "fingerprint", ""))
