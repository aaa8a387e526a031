"""What a data card tells: the whole of `report.json`, without a time or a machine's path."""

from typing import Any, Literal

from pydantic import Field, model_validator

from geo_nemo.config.section import NonNegative, Section

LENGTH_BINS = 45
QUALITY_BINS = 101


class Step(Section):
    """One step of the way from records to documents, and what it dropped, by reason."""

    name: str
    dropped: dict[str, NonNegative]

    @property
    def total(self) -> int:
        return sum(self.dropped.values())


class CountryCount(Section):
    """tokens: of titles and bodies; None without a store. text_bytes: UTF-8."""

    documents: NonNegative
    text_bytes: NonNegative
    tokens: NonNegative | None


class SplitCount(Section):
    """Documents of one split, counted in several ways.

    lengths: documents by characters; bin k holds [2^(k/2), 2^((k+1)/2)), and the last all above.
    quality: documents by quality, 0 to 100. years: by year, `0` where it is unknown.
    """

    documents: NonNegative
    text_bytes: NonNegative
    tokens: NonNegative | None
    countries: dict[str, CountryCount]
    languages: dict[str, NonNegative]
    years: dict[str, NonNegative]
    sources: dict[str, NonNegative]
    evidence: dict[str, NonNegative]
    quality: tuple[NonNegative, ...]
    lengths: tuple[NonNegative, ...]

    @model_validator(mode="after")
    def _bins(self):
        if len(self.quality) != QUALITY_BINS or len(self.lengths) != LENGTH_BINS:
            raise ValueError(f"quality has {QUALITY_BINS} bins and lengths {LENGTH_BINS}")
        return self


class LanguageCount(Section):
    """Of all splits. tokens: of titles and bodies; None without a store. text_bytes: UTF-8."""

    text_bytes: NonNegative
    tokens: NonNegative | None


class HostCount(Section):
    """A host, and documents of all splits with it."""

    host: str
    documents: NonNegative


class Clusters(Section):
    """Clusters of copies and near-duplicates, before copies were dropped.

    clusters: those of several documents. largest: sizes of the largest, in order. other_texts:
    documents dropped for an id that an earlier one has, whose text is another.
    """

    clusters: NonNegative
    documents_in_clusters: NonNegative
    other_texts: NonNegative = 0
    largest: tuple[NonNegative, ...]


class OverlapRow(Section):
    """One set of evaluation texts: how many, how many training documents hold, in how many."""

    name: str
    texts: NonNegative
    contaminated: NonNegative
    documents: NonNegative


class TokenizerFacts(Section):
    """The store's tokenizer, and what it makes of the text."""

    kind: str
    vocab_size: NonNegative
    sha256: str


class Example(Section):
    """A training document: what the model is told of it, and how it begins."""

    host: str
    country: str
    continent: str
    title: str
    beginning: str


class InputFile(Section):
    """A raw file: bytes read, and the hash of what was read."""

    name: str
    bytes: NonNegative
    xxh3_128: str


class LostFile(Section):
    """A file of which nothing was read, or the rest was not: `records` came before the damage."""

    name: str
    reason: str
    detail: str
    records: NonNegative


class FileNote(Section):
    """What is to be told of how a file was read, such as its encoding."""

    name: str
    note: str


class FieldFacts(Section):
    """A metadata field of the user's own.

    kind: its type. numbered: its values are few enough to make groups; only then are they counted.
    documents: that have it. values: how many there are. top: the most frequent, with their
    documents. changed: values by what was changed in them, or is to be told of them; see
    data_prep.annotate.own_fields.
    """

    kind: str
    numbered: bool
    documents: NonNegative
    values: NonNegative
    top: dict[str, NonNegative]
    changed: dict[str, NonNegative]


class UnplacedHost(Section):
    """A host that tells no country: documents, those of them that were dropped, bytes of text."""

    host: str
    documents: NonNegative
    dropped: NonNegative
    bytes: NonNegative


class HostFacts(Section):
    """How much of a country its host tells (geo_nemo.metadata.host_signal), of distinct hosts.

    whole, stem: accuracy of a linear probe of the host's characters on `tested` hosts that it was
    not fitted on, with and without the domain's ending; majority: of who always names the most
    frequent country. None where there are too few hosts.
    """

    hosts: NonNegative
    countries: NonNegative
    national: float
    agreeing: float
    tested: NonNegative
    majority: float | None
    whole: float | None
    stem: float | None


class Signals(Section):
    """What metadata tell, of `documents` of the training split.

    titled: documents with a title and a path; spelled: those whose path spells half of the title's
    words or more. synthetic: made up by `geo-nemo synth`. axes: along which documents differ.
    """

    documents: NonNegative
    titled: NonNegative
    spelled: NonNegative
    synthetic: bool
    axes: tuple[str, ...]
    hosts: HostFacts | None


class CardData(Section):
    """All counts of one preparation.

    found: records, readable or not; `found` less what all steps dropped is what the splits hold.
    text_bytes: of the records, after decompression. steps: in order.
    languages: those that are known, with most tokens. hosts: those with most documents.
    distinct_hosts: of all splits.
    masked: places in titles and texts where something was masked, by kind. settings: of the
    config, without folders and execution. extractors: documents of web pages by the way their text
    was found. truncated: those of which only the beginning was had, by reason: of WARC-Truncated,
    or CUT_BODY. damaged: those with characters that nobody could read.
    continents_replaced: records whose continent gave way to the table's, by country.
    unmeasured: documents without a quality, by language. ambiguous_dates: records whose day and
    month cannot be told; ambiguous_date: the date of the first. unread_dates, unread_date: the
    same of dates that cannot be read at all.
    lost: files that are no input, or in part. unplaced: hosts of no country with most documents, of
    `unplaced_hosts`. notes: of how files were read. fields: metadata fields of the user's own, by
    name. signals: what metadata tell of the texts. hashes: that identify what was made, by
    what they are of.
    """

    format_version: Literal[1] = 1
    title: str
    found: NonNegative
    text_bytes: NonNegative
    steps: tuple[Step, ...]
    splits: dict[str, SplitCount]
    continents: dict[str, str]
    country_names: dict[str, str]
    languages: dict[str, LanguageCount] = Field(default_factory=dict)
    hosts: tuple[HostCount, ...]
    distinct_hosts: NonNegative
    clusters: Clusters | None
    overlap: tuple[OverlapRow, ...]
    masked: dict[str, NonNegative]
    tokenizer: TokenizerFacts | None
    examples: tuple[Example, ...]
    inputs: tuple[InputFile, ...]
    extractors: dict[str, NonNegative] = Field(default_factory=dict)
    truncated: dict[str, NonNegative] = Field(default_factory=dict)
    damaged: NonNegative = 0
    continents_replaced: dict[str, NonNegative] = Field(default_factory=dict)
    unmeasured: dict[str, NonNegative] = Field(default_factory=dict)
    ambiguous_dates: NonNegative = 0
    ambiguous_date: str = ""
    unread_dates: NonNegative = 0
    unread_date: str = ""
    unplaced: tuple[UnplacedHost, ...] = ()
    unplaced_hosts: NonNegative = 0
    lost: tuple[LostFile, ...] = ()
    notes: tuple[FileNote, ...] = ()
    fields: dict[str, FieldFacts] = Field(default_factory=dict)
    signals: Signals | None = None
    settings: dict[str, Any]
    hashes: dict[str, str]

    @property
    def documents(self) -> int:
        """Documents of all splits."""
        return sum(split.documents for split in self.splits.values())

    @property
    def tokens(self) -> int | None:
        """Tokens of all splits."""
        counts = [split.tokens for split in self.splits.values()]
        return None if None in counts else sum(counts)

    @model_validator(mode="after")
    def _adds_up(self):
        left = self.found - sum(step.total for step in self.steps)
        if left != self.documents:
            raise ValueError(
                f"{self.found} records less what was dropped are {left}, but the splits hold "
                f"{self.documents} documents"
            )
        return self
