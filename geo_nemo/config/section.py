"""What every config section is made of: the base class and bounded numbers."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from geo_nemo.common.addresses import ADDRESS

# What every generator takes: torch, NumPy and draws of our own.
SEEDS = 2**63
# NumPy and torch count no further.
Positive = Annotated[int, Field(gt=0, lt=2**63)]
NonNegative = Annotated[int, Field(ge=0, lt=2**63)]
SequenceLength = Annotated[int, Field(ge=16, le=1 << 24)]  # beyond any that is trained
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
# A path or a name: an empty one, as of a variable of the shell that is not set, means this folder.
Filled = Annotated[str, Field(min_length=1)]


def _on_disk(path: str) -> str:
    """An address would make a folder `s3:` here. It may hold a secret, so it is not repeated."""
    if ADDRESS.match(path):
        raise ValueError("it is an address: give a path on a disk; it can be copied from there")
    return path


# Where something is written.
OnDisk = Annotated[Filled, AfterValidator(_on_disk)]
Probability = Annotated[float, Field(ge=0, le=1)]
# Of what users may bring: a name, or `module:attribute`; see geo_nemo.config.plugins.
PluginName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.-]*(:[A-Za-z_][\w.]*)?$")]


NORWAY = "no"


def spelled(value: Any) -> Any:
    """Codes as they were written: YAML reads a bare `no`, Norway or Norwegian, as false.

    value: a code, a list of them, or a dict that has them as keys.
    """
    if isinstance(value, list | tuple):
        return [NORWAY if code is False else code for code in value]
    if isinstance(value, dict) and False in value:
        if NORWAY in value:
            raise ValueError("names no twice, with quotes and without")
        return {NORWAY if code is False else code: of for code, of in value.items()}
    return NORWAY if value is False else value


# A list or a dict of codes, before anything else is asked of it.
Spelled = BeforeValidator(spelled)


class Freedom:
    """How a setting may differ between the parts of one run. Without one it decides the weights."""

    def __init__(self, words: str):
        self.words = words


FREE: Final = Freedom("where and how a run goes on, not what it is")
LATER: Final = Freedom("decides the weights where it is set: at first there was no such setting")


def renamed(values: object, **names: str) -> object:
    """Settings, some of them perhaps under their old names, under those of today.

    names: old name -> today's. An old one comes from a user, and goes before a recipe's default.
    """
    if not isinstance(values, Mapping):
        return values
    old = {new: values[old] for old, new in names.items() if old in values}
    return {name: value for name, value in values.items() if name not in names} | old


def listed(value: Any, annotation: Any) -> Any:
    """One word or number, where the annotation wants a list of them, as a list of one."""
    is_union = get_origin(annotation) in (Union, UnionType)
    kinds = [
        kind.__origin__ if get_origin(kind) is Annotated else kind
        for kind in (get_args(annotation) if is_union else (annotation,))
    ]
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    wants_list = any(get_origin(kind) is tuple and get_args(kind)[-1] is ... for kind in kinds)
    is_one = isinstance(value, str | int | float) and value != "" and value not in words
    return [value] if wants_list and is_one else value


def check_no_switch(value: Any, annotation: Any) -> None:
    """Raise `ValueError` for true or false where a number is wanted, which it would be taken as.

    So in a list of numbers, and as a value of a dict of them.
    """
    _check_no_switch(value, kinds_of(annotation))


def _check_no_switch(value: Any, kinds: list[Any]) -> None:
    if isinstance(value, bool):
        if bool not in kinds and (int in kinds or float in kinds):
            raise ValueError(f"write a number, not {str(value).lower()}")
    elif isinstance(value, list | tuple | Mapping):
        wanted = dict if isinstance(value, Mapping) else tuple
        within = [
            inner
            for kind in kinds
            if get_origin(kind) is wanted and len(get_args(kind)) == 2
            for inner in kinds_of(get_args(kind)[wanted is dict])
        ]
        for each in value.values() if isinstance(value, Mapping) else value:
            _check_no_switch(each, within)


def kinds_of(annotation: Any) -> list[Any]:
    """What an annotation allows, of a union each."""
    if get_origin(annotation) is Annotated:
        return kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for each in get_args(annotation) for kind in kinds_of(each)]
    return [annotation]


class Section(BaseModel):
    """Base of every config section: frozen; an unknown key is an error; a word is a list of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None  # of a validator of fields
        annotation = cls.model_fields[info.field_name].annotation
        value = listed(value, annotation)
        check_no_switch(value, annotation)
        return value

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the weights, as plain JSON, in nested dicts."""
        values = self.model_dump(mode="json")
        found = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            is_unset = LATER in field.metadata and value == field.get_default(
                call_default_factory=True
            )
            if FREE in field.metadata or is_unset:
                continue
            found[name] = value.deciding() if isinstance(value, Section) else values[name]
        return found
