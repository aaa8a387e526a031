"""What a preparation did: counts by reason, documents and tokens by country and split, speed."""

from data_prep.corpus_files import CorpusSummary
from geo_nemo.config.schema import NonNegative, Section
from geo_nemo.store.manifest import CountryEntry, Manifest


class StageTime(Section):
    """Seconds a stage took; `reused` where an earlier run had made it."""

    seconds: float
    reused: bool


class SplitReport(Section):
    """Documents and tokens (of titles and bodies) of a split."""

    documents: NonNegative
    tokens: NonNegative
    by_country: dict[str, CountryEntry]


class PrepReport(Section):
    """Kept as `report.json` in the output folder.

    read: records read; kept and quarantine (records, by reason) add up to it, but for the reasons
        that concern a whole file.
    evidence: kept documents by what told their country: field, outlet, domain, likely.
    megabytes_per_second: decompressed input over the seconds of the stages that ran; None where
        every stage was reused.
    """

    output: str
    store: str
    store_hash: str
    tokenizer: str
    vocab_size: int
    read: NonNegative
    kept: NonNegative
    text_bytes: NonNegative
    quarantine: dict[str, NonNegative]
    quarantine_file: str
    evidence: dict[str, NonNegative]
    continents_replaced: NonNegative
    continents: dict[str, str]
    splits: dict[str, SplitReport]
    stages: dict[str, StageTime]
    seconds: float
    megabytes_per_second: float | None

    @property
    def quarantined(self) -> int:
        """Records and files set aside."""
        return sum(self.quarantine.values())


def split_reports(manifest: Manifest) -> dict[str, SplitReport]:
    """The splits of a store."""
    return {
        name: SplitReport(
            documents=split.documents,
            tokens=split.title_tokens + split.body_tokens,
            by_country=split.by_country,
        )
        for name, split in manifest.splits.items()
    }


def speed(summary: CorpusSummary, stages: dict[str, StageTime]) -> float | None:
    """MB of decompressed input a second, over the stages that ran."""
    seconds = sum(stage.seconds for stage in stages.values() if not stage.reused)
    return summary.text_bytes / 1e6 / seconds if seconds else None
