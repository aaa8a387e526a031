"""A metadata policy from the words of a command line."""

from pydantic import ValidationError

from geo_nemo.common.errors import UserError
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.config.template import LOCALIZATION
from geo_nemo.metadata.fields import FIELDS, find_field, lines_of

URL_FORMS = ("host", "path", "full")


def parse_policy(
    fields: str,
    url_form: str = "host",
    position: str = "prepend",
    template: str = LOCALIZATION,
) -> MetadataPolicy:
    """The policy of `url,country`, `date:month`, `all` or `none`, in the order of the names.

    `all` is host, country and continent, as a policy has where it does not say. A form stands
    behind a colon. Appended metadata is a target, so it is trained, and metadata in front is not.
    Raises UserError for what cannot be a policy; whether a store has the fields, `check_columns` of
    geo_nemo.store.fields says.
    """
    words = fields.strip().lower()
    if words in ("none", ""):
        names: list[str] = []
    elif words == "all":
        names = list(MetadataPolicy().fields)
    else:
        names = [name.strip() for name in words.split(",") if name.strip()]
    pairs = [name.partition(":")[::2] for name in names]
    given = [name for name, _ in pairs]
    for name in given:
        if given.count(name) > 1:
            raise UserError(f"--policy {fields} names {name} twice")
    forms = {name: form for name, form in pairs if form}
    if "url" in forms:
        url_form = forms.pop("url")
    if url_form not in URL_FORMS:
        raise UserError(f"--policy {fields}: url is written as {' or '.join(URL_FORMS)}")
    for name, form in forms.items():
        # A form that needs a setting beside it, as bands of quality, is for recipes.
        there = [each for each, made in find_field(name).forms.items() if not made.settings]
        if form not in there:
            raise UserError(f"--policy {fields}: {name} is written as {' or '.join(there)} here")
    try:
        policy = MetadataPolicy(
            fields=tuple(given),
            url_form=url_form,
            forms=forms,
            position=position,
            mask_loss=position == "prepend",
            template=template,
            cut="whole",
        )
        lines_of(policy)
    except ValidationError:
        raise UserError(
            f"--policy {fields}: give names of fields, as {', '.join(FIELDS)}, or all, or none"
        ) from None
    return policy


def policy_words(policy: MetadataPolicy) -> str:
    """`url (path), country, appended`: the policy in a few words."""
    if not policy.fields and not policy.has_own_text:
        return "no metadata"
    forms = {**policy.forms, "url": policy.url_form}
    usual = {name: next(iter(field.forms)) for name, field in FIELDS.items()}
    names = [
        f"{name} ({forms[name]})" if forms.get(name, usual.get(name)) != usual.get(name) else name
        for name in policy.fields
    ] or ["no metadata"]
    if policy.has_own_text:
        name = policy.template if isinstance(policy.template, str) else "a template of its own"
        names.append(f"as {name}")
    return ", ".join(names) + (", appended" if policy.position == "append" else "")
