"""A metadata policy from the words of a command line."""

import difflib
from typing import get_args

from geo_nemo.config.errors import UserError
from geo_nemo.config.schema import MetadataField, MetadataPolicy

FIELDS: tuple[str, ...] = get_args(MetadataField)
URL_FORMS = ("host", "path", "full")
POSITIONS = ("prepend", "append")


def parse_policy(fields: str, url_form: str = "host", position: str = "prepend") -> MetadataPolicy:
    """The policy of `url,country`, `all` or `none`, in the order of the names.

    Appended metadata is a target, so it is trained; metadata before the text is not.
    Raises UserError for a name that is no field.
    """
    words = fields.strip().lower()
    if words in ("none", ""):
        names: list[str] = []
    elif words == "all":
        names = list(FIELDS)
    else:
        names = [name.strip() for name in words.split(",") if name.strip()]
    for name in names:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(
                f"--policy {fields}: no metadata field {name}, there is {', '.join(FIELDS)}, or "
                f"all, or none{hint}"
            )
        if names.count(name) > 1:
            raise UserError(f"--policy {fields} names {name} twice")
    return MetadataPolicy(
        fields=tuple(names),
        url_form=url_form,
        position=position,
        mask_loss=position == "prepend",
    )


def policy_words(policy: MetadataPolicy) -> str:
    """`url (path), country, appended`: the policy in a few words."""
    if not policy.fields:
        return "no metadata"
    names = [
        f"url ({policy.url_form})" if field == "url" and policy.url_form != "host" else field
        for field in policy.fields
    ]
    return ", ".join(names) + (", appended" if policy.position == "append" else "")
