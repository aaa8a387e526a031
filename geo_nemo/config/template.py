"""How a document's metadata, title and body stand in one text: templates by name, and one's own."""

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from geo_nemo.config.section import Section

TITLE, BODY, LABEL, VALUE = "{title}", "{body}", "{label}", "{value}"
LOCALIZATION = "localization"


class Template(Section):
    r"""A document's text, cut only where no tokenizer joins what stands on both sides.

    line: of a metadata field, from its label and value. between: lines. after: the last line.
    title: ends in a blank line, `{title}\n\n`, as stores keep titles. body: ends with `{body}`.
        What stands in front of either is a label, and out of the loss; it ends in one space, a line
        end or a control token.
    control: control tokens of the vocabulary by name, as `<|meta|>`: in the texts above they are
        these tokens, everywhere else their letters.
    """

    line: str = "{label}: {value}"
    between: str = "\n"
    after: str = "\n\n"
    title: str = "TITLE: {title}\n\n"
    body: str = "CONTENT: {body}"
    control: Annotated[tuple[str, ...], Field(max_length=32)] = ()

    @field_validator("line", "between", "after", "title", "body", mode="before")
    @classmethod
    def _line_ends(cls, value: Any) -> Any:
        r"""`\n` of a command line, which Hydra leaves as two characters."""
        return value.replace("\\n", "\n") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_cut(self):
        for name in self.control:
            if not name.strip() or any(name in other for other in self.control if other != name):
                raise ValueError(f"control names {name!r}, which is empty or a part of another")
            if not any(name in text for text in self.texts):
                raise ValueError(f"control names {name}, which no text of the template holds")
        begin = {self.label(name).startswith(self.control or "\0") for name in ("title", "body")}
        if len(begin) > 1:
            raise ValueError("title and body must both begin with a control token, or neither")
        if self.line.count(VALUE) != 1 or "\n" in self.line or self.line.count(LABEL) > 1:
            raise ValueError(f"line {self.line!r} is one line with {VALUE} in it, as {_LINE!r}")
        for name in ("between", "after"):
            if not getattr(self, name).endswith("\n"):
                raise ValueError(f"{name} {getattr(self, name)!r} must end in a line end")
        if self.title.count(TITLE) != 1 or not self.title.endswith(f"{TITLE}\n\n"):
            raise ValueError(f"title {self.title!r} must end with {TITLE} and a blank line")
        if self.body.count(BODY) != 1 or not self.body.endswith(BODY):
            raise ValueError(f"body {self.body!r} must end with {BODY}")
        for name in ("title", "body"):
            label = self.label(name)
            if label and (not label.endswith(("\n", " ", *self.control)) or label.endswith("  ")):
                raise ValueError(
                    f"{name}: its label {label!r} must end in one space or a line end, else a "
                    f"tokenizer may join it to the text"
                )
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a template writes around values and texts."""
        return self.line, self.between, self.after, self.title, self.body

    def label(self, name: str) -> str:
        """What stands before the title or the body."""
        return getattr(self, name).partition("{")[0]


_LINE = Template.model_fields["line"].default
# By name. MeCo's text (arXiv 2501.01956) is its URL line, a blank line and the bare text.
TEMPLATES: dict[str, Template] = {
    LOCALIZATION: Template(),
    "meco": Template(title="{title}\n\n", body="{body}"),
    "plain": Template(title="{title}\n\n", body="{body}"),
}


def _known(name: str) -> str:
    if name not in TEMPLATES:
        raise ValueError(f"template {name}: there is {', '.join(TEMPLATES)}, or one of your own")
    return name


# Told apart by type, so that an error in one's own template is not one of a name as well.
AnyTemplate = Annotated[
    Annotated[str, AfterValidator(_known), Tag("name")] | Annotated[Template, Tag("own")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "own"),
]
