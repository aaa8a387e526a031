"""What a stage tells the model of a document's origin, and how: the policy, and its hash."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from geo_nemo.config.groups import FieldName
from geo_nemo.config.loss_weights import LossWeights, usual_weights
from geo_nemo.config.section import Probability, Section
from geo_nemo.config.template import LOCALIZATION, TEMPLATES, AnyTemplate, Template

MAX_FIELDS = 64
# Settings of a policy that came after its hash stood in checkpoints: where one is not set, the hash
# is what it was without it.
_LATER = (
    "forms",
    "quality_bands",
    "template",
    "cut",
    "plain_dropout",
    "placebo",
    "loss_weights",
    "meta_tokens",
)
# The form of a field that is not named among `forms`; that of any other field is PLAIN.
USUAL_FORMS = {"date": "day", "quality": "fine"}
PLAIN = "plain"
BandName = Annotated[str, Field(pattern=r"^[^\s:]{1,32}$")]


class MetadataPolicy(Section):
    """What a stage tells the model about a document's origin, and how.

    fields: metadata lines, in this order, by the names of geo_nemo.metadata.fields or of columns of
        the user's own; empty means that no metadata is given.
    url_form: `host` (default: the full URL leaks the title), `path` (host and path) or `full`.
    position: `prepend` before the text; `append` after it, as an auxiliary target.
    mask_loss: keep metadata and the TITLE:/CONTENT: labels out of the loss.
    dropout: probability that a document is shown without any metadata.
    plain_dropout: probability that it is shown as plain text, without metadata and labels, whatever
        the template; beside `dropout`, so that the two add up to at most 1.
    field_dropout: probability that a single field is left out of a document's metadata.
    forms: of fields that can be written in several ways, as `date: month`; the usual one where a
        field is not named.
    quality_bands: of `quality: coarse`, each by its name and the least quality in it, rising from
        0.
    template: how metadata, title and body stand in the text: `localization` with TITLE: and
        CONTENT:, `meco` and `plain` without labels, or one of your own.
    cut: `whole`: ids are those of the whole text, as under all other templates. `parts`: those of
        `localization` as runs had them before there was a choice, whose parts are tokenised apart;
        what recipes and commands give is `whole`, unless the run in its folder began with `parts`.
    placebo: tell each document the metadata of another, by a permutation of all of them that is
        always the same: a run that metadata can teach nothing, as a baseline.
    loss_weights: of tokens in the loss, sum(w * nll) / sum(w), by kind: metadata, label, title,
        body, end; a kind that is not named has 1, or 0 where mask_loss keeps it out.
    meta_tokens: learnable tokens, rows of the vocabulary behind the tokenizer's, that stand in
        front of every document, out of the loss; plain text has none.
    """

    fields: Annotated[tuple[FieldName, ...], Field(max_length=MAX_FIELDS)] = (
        "url",
        "country",
        "continent",
    )
    url_form: Literal["host", "path", "full"] = "host"
    position: Literal["prepend", "append"] = "prepend"
    mask_loss: bool = True
    dropout: Probability = 0.0
    field_dropout: dict[FieldName, Probability] = Field(default_factory=dict)
    forms: dict[FieldName, str] = Field(default_factory=dict)
    quality_bands: dict[BandName, Annotated[int, Field(ge=0, le=100)]] = Field(default_factory=dict)
    template: AnyTemplate = LOCALIZATION
    cut: Literal["parts", "whole"] = "parts"
    plain_dropout: Probability = 0.0
    placebo: bool = False
    loss_weights: LossWeights = Field(default_factory=dict)
    meta_tokens: Annotated[int, Field(ge=0, le=1024)] = 0

    @model_validator(mode="before")
    @classmethod
    def _form_of_the_url(cls, values: Any) -> Any:
        """`forms.url` is the older `url_form`."""
        forms = values.get("forms") if isinstance(values, dict) else None
        if not isinstance(forms, dict) or "url" not in forms:
            return values
        if "url_form" in values and values["url_form"] != forms["url"]:
            raise ValueError("url_form and forms.url differ: give one of them")
        others = {name: form for name, form in forms.items() if name != "url"}
        return {**values, "url_form": forms["url"], "forms": others}

    @model_validator(mode="after")
    def _consistent(self):
        if len(set(self.fields)) != len(self.fields):
            raise ValueError(f"fields {list(self.fields)} names a field twice")
        for key in ("field_dropout", "forms"):
            unknown = set(getattr(self, key)) - set(self.fields)
            if unknown:
                raise ValueError(f"{key} names {sorted(unknown)}, which fields does not list")
        if self.dropout + self.plain_dropout > 1:
            raise ValueError(
                f"dropout {self.dropout:g} and plain_dropout {self.plain_dropout:g} add up to more "
                f"than 1"
            )
        if self.plain_dropout and len(self.fields) == MAX_FIELDS:
            raise ValueError(f"plain_dropout goes with at most {MAX_FIELDS - 1} fields")
        borders = list(self.quality_bands.values())
        if borders and (borders[0] != 0 or sorted(set(borders)) != borders):
            raise ValueError(f"quality_bands {self.quality_bands} must rise from 0")
        if self.placebo and not self.fields:
            raise ValueError("placebo permutes metadata, and fields is empty: give fields")
        if not any(self.weights.values()):
            raise ValueError("loss_weights are all 0, so nothing is trained: give body one")
        if not any(self.weights[kind] for kind in ("metadata", "title", "body")):
            raise ValueError(
                "loss_weights leave labels and ends of texts alone in the loss: give title, body "
                "or metadata one above 0"
            )
        # Beside metadata that are a target they count as labels.
        beside = "label" if self.position == "append" else "metadata"
        if self.meta_tokens and self.weights[beside]:
            raise ValueError(
                f"meta_tokens stand out of the loss, and here {beside} tokens are in it: leave out "
                f"meta_tokens, or mask_loss=false and loss_weights.{beside}"
            )
        appends = self.position == "append" and len(self.fields) > 0
        if appends and not self.weights["metadata"]:
            raise ValueError(
                "position 'append' needs mask_loss=false or a weight, as "
                "loss_weights.metadata=0.5: it is a target, not context"
            )
        return self

    @property
    def text(self) -> Template:
        """The template, where it has a name too."""
        return TEMPLATES[self.template] if isinstance(self.template, str) else self.template

    def text_alike(self, other: "MetadataPolicy") -> bool:
        """Whether title and body stand in the same text here as there, whatever is above them."""
        return (self.text.title, self.text.body) == (other.text.title, other.text.body)

    @property
    def has_own_text(self) -> bool:
        """Whether the text is another than that of `localization`."""
        return self.template != LOCALIZATION

    @property
    def is_whole(self) -> bool:
        """Whether the ids of a document are those of its whole text."""
        return self.has_own_text or self.cut == "whole"

    @property
    def plain(self) -> "MetadataPolicy | None":
        """That of the documents which `plain_dropout` shows as plain text; None where it is 0."""
        return MetadataPolicy(fields=(), template="plain") if self.plain_dropout else None

    @property
    def weights(self) -> dict[str, float]:
        """The weight in the loss of each kind of token: metadata, label, title, body, end."""
        return usual_weights(self.mask_loss) | self.loss_weights

    @property
    def has_weights(self) -> bool:
        """Whether a weight is another than 0 or 1."""
        return not {0.0, 1.0}.issuperset(self.weights.values())

    def hash(self) -> str:
        """Sixteen hex digits that change whenever the policy does; kept in every artefact."""
        canonical = json.dumps(self.canonical(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def canonical(self) -> dict[str, Any]:
        """As plain JSON; a setting of `_LATER` only where it is set, and makes a difference."""
        values = self.model_dump(mode="json")
        values["forms"] = {
            name: form for name, form in self.forms.items() if form != USUAL_FORMS.get(name, PLAIN)
        }
        usual = usual_weights(self.mask_loss)
        values["loss_weights"] = {k: w for k, w in self.loss_weights.items() if w != usual[k]}
        if self.has_own_text:  # which is always whole
            values["cut"] = _default("cut")
        if isinstance(self.template, Template) and not self.template.control:
            del values["template"]["control"]
        return {k: v for k, v in values.items() if k not in _LATER or v != _default(k)}


def _default(name: str) -> Any:
    return MetadataPolicy.model_fields[name].get_default(call_default_factory=True)
