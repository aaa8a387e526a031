"""Which documents a run reads, how often, and how they become sequences."""

import json
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from geo_nemo.common.addresses import check_address, is_remote
from geo_nemo.config.groups import FieldName
from geo_nemo.config.kinds import PACKINGS, SAMPLERS, PackingName, SamplerName
from geo_nemo.config.secret import Arguments
from geo_nemo.config.section import (
    FREE,
    LATER,
    Filled,
    NonNegative,
    OnDisk,
    Positive,
    Section,
    SequenceLength,
    Spelled,
)

Weight = Annotated[float, Field(gt=0)]


class Data(Section):
    """Which token store is read and how documents become sequences of `seq_length` tokens.

    packing: `best_fit` cuts only documents that are longer than a sequence; `concat` joins
        documents and cuts wherever a sequence ends (with prefix_fragments=false, the papers'
        concatenate-and-chunk); `by_length` cuts them into pieces of power-of-two lengths, and a
        sequence holds pieces of one (Dataset Decomposition, arXiv 2405.13226); else one of entry
        points of the group `geo_nemo.packings`, or `module:attribute`.
    packing_options: keyword arguments of such a one.
    prefix_fragments: every fragment of a cut document starts with its metadata again; otherwise a
        later fragment is bare text.
    packing_window: documents that are packed together.
    index_dir: folder of packing indices, which runs may share; <output_dir>/index where it is not
        given. index_workers: processes that build one; 0 builds in the training process.
    cache_dir: folder of this node that receives a copy of a store on `s3://`;
        $XDG_CACHE_HOME/geo-nemo, else ~/.cache/geo-nemo, where it is not given.
    """

    store: Annotated[Filled, FREE]
    seq_length: SequenceLength = 2048
    packing: PackingName = "best_fit"
    packing_options: Annotated[Arguments, LATER] = Field(default_factory=dict)
    prefix_fragments: bool = True
    packing_window: Positive = 16_384
    index_dir: Annotated[OnDisk | None, FREE] = None
    index_workers: Annotated[NonNegative, FREE] = 0
    cache_dir: Annotated[OnDisk | None, FREE] = None

    @model_validator(mode="after")
    def _options_of_another_s(self):
        if self.packing_options and self.packing in PACKINGS.known:
            raise ValueError(f"packing_options are for another package's: {self.packing} has none")
        return self

    @field_validator("store")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return check_address("data.store", value) if is_remote(value) else value


class Select(Section):
    """A filter on the store's documents; empty keeps all.

    Codes and names are those of the store, and one that the store does not have is an error.
    values, exclude_values: of any field, as `{topic: [sport, arts]}`; `unknown` is what documents
        without a value have. Fields are joined by and.
    years: first and last year, both kept; documents without a year are then left out.
    min_quality: 0 to 100; a document of unknown quality (annotate.quality_languages of prep) is
        kept. quality_languages: those that it is asked of; documents of others are
        kept whatever their quality is, which is made for English. Empty: of all documents.
    """

    countries: Annotated[tuple[str, ...], Spelled] = ()
    exclude_countries: Annotated[tuple[str, ...], Spelled] = ()
    continents: tuple[str, ...] = ()
    exclude_continents: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    exclude_sources: tuple[str, ...] = ()
    values: dict[FieldName, tuple[str, ...]] = Field(default_factory=dict)
    exclude_values: dict[FieldName, tuple[str, ...]] = Field(default_factory=dict)
    years: tuple[int, int] | None = None
    min_quality: Annotated[int, Field(ge=0, le=100)] = 0
    quality_languages: Annotated[tuple[str, ...], Spelled, LATER] = ()

    @field_validator("values", "exclude_values", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """YAML reads 2020 as a number, `no` as false, and one word as no list."""
        if not isinstance(value, dict):
            return value
        return {field: _texts(of) for field, of in value.items()}

    @model_validator(mode="after")
    def _consistent(self):
        listed = {
            name: (getattr(self, name), getattr(self, f"exclude_{name}"))
            for name in ("countries", "continents", "sources")
        }
        for field in {*self.values, *self.exclude_values}:
            pair = self.values.get(field, ()), self.exclude_values.get(field, ())
            listed[f"values.{field}"] = pair
        for name, (kept, left_out) in listed.items():
            for key, values in ((name, kept), (f"exclude_{name}", left_out)):
                if len(set(values)) != len(values):
                    raise ValueError(f"{key} names one twice: {', '.join(values)}")
            both = sorted(set(kept) & set(left_out))
            if both:
                raise ValueError(f"{', '.join(both)} is in both {name} and exclude_{name}")
        if self.quality_languages and not self.min_quality:
            raise ValueError("quality_languages needs min_quality: give it, as min_quality=50")
        if self.years and self.years[0] > self.years[1]:
            raise ValueError(f"years {list(self.years)}: the first is after the last")
        return self

    def canonical(self) -> str:
        """The filter as one line of JSON without what is not set."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


# Samplers that a setting of the same name asks for.
_RULES = ("weights", "temperature", "unimax_epochs", "related")
# What documents may be related by, besides fields: a near-duplicate cluster, and a host.
CLUSTER, HOST = "cluster", "host"
# Packings that put documents anywhere, so that related ones would not stand together.
_SCATTERING = ("best_fit", "by_length")


class Sampling(Section):
    """How often documents are drawn, by group; without weights, temperature or UniMax, as they are.

    by: the field whose values are the groups. At most one of the following is given:
    weights: each group's fraction of the text tokens, up to a common factor; every group of the
        stage must have one. end_weights: to which they move linearly over the stage, of the same
        groups.
    temperature: shares go as tokens to the power 1 / temperature; 1 is as they are, larger is
        nearer to equal (Conneau et al., arXiv 1911.02116, whose alpha is 1 / temperature).
    unimax_epochs: equal fractions, but no group more often than so many epochs (Chung et al., 2023,
        arXiv 2304.09151).
    related: documents of one near-duplicate `cluster`, one `host` or one value of a field come
        behind each other, each once an epoch (In-Context Pretraining, arXiv 2310.10638); with a
        packing that keeps their order, as data.packing=concat.
    sampler: another rule, one of entry points of the group `geo_nemo.samplers`, or
        `module:attribute`. options: its keyword arguments.
    max_epochs: an error, before the run, where a group would be drawn more often than that.
    """

    by: FieldName = "country"
    weights: Annotated[dict[str, Weight], Spelled] = Field(default_factory=dict)
    end_weights: Annotated[dict[str, Weight], Spelled] = Field(default_factory=dict)
    temperature: Annotated[float, Field(gt=0)] | None = None
    unimax_epochs: Annotated[float, Field(gt=0)] | None = None
    related: FieldName | None = None
    sampler: SamplerName | None = None
    options: Arguments = Field(default_factory=dict)
    max_epochs: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_rule(self):
        given = [n for n in (*_RULES, "sampler") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one of them")
        if self.end_weights and set(self.end_weights) != set(self.weights):
            differ = ", ".join(sorted(set(self.end_weights) ^ set(self.weights)))
            raise ValueError(
                f"weights and end_weights are to name the same groups, and {differ} stands in one "
                f"of them: give both"
            )
        if self.sampler in SAMPLERS.known:
            raise ValueError(f"sampler is for another package's: {self.sampler} is a setting here")
        if self.options and not self.sampler:
            raise ValueError("options are those of a sampler: give sampler, too")
        return self

    @property
    def rule(self) -> str:
        """The name of the sampler."""
        given = (name for name in _RULES if getattr(self, name))
        return self.sampler or next(given, "as_they_are")

    def canonical(self) -> str:
        """The rule as one line of JSON without what is not set."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def check_related(stage: str, sampling: Sampling, data: Data) -> None:
    """Raise `ValueError` where related documents would not stand in one sequence."""
    if sampling.related and data.packing in _SCATTERING:
        raise ValueError(
            f"stages.{stage}.sampling.related puts related documents behind each other, and "
            f"data.packing={data.packing} would part them again: give data.packing=concat"
        )


def _texts(values: Any) -> Any:
    listed = values if _is_list(values) else [values]
    words = {False: "no", True: "yes"}
    return [
        words[v] if isinstance(v, bool) else str(v) if isinstance(v, int) else v for v in listed
    ]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
