"""Which documents count as copies, and which texts training must not see."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geo_nemo.config.section import Filled, Probability, Section


class Near(Section):
    """Near-duplicates: MinHash over word n-grams, LSH in bands x rows, then an estimate.

    action: `drop` keeps the first document of a cluster; `keep` keeps all, in one split where
        splits.by is cluster; `none` looks for none.
    similarity: estimated Jaccard similarity from which two candidates are near-duplicates.

    The defaults find 99% of the pairs of Jaccard similarity 0.8, 20% of those of 0.7 and none of
    those of 0.6; data_prep.dedup.minhash has the curve.
    """

    action: Literal["none", "keep", "drop"] = "none"
    bands: Annotated[int, Field(ge=1, le=512)] = 26
    rows: Annotated[int, Field(ge=1, le=32)] = 7
    ngram: Annotated[int, Field(ge=1, le=50)] = 5
    similarity: Probability = 0.73


class Dedup(Section):
    """Deduplication.

    against: outputs of earlier runs; what they hold is a copy here.
    """

    near: Near = Near()
    against: tuple[Filled, ...] = ()


class Overlap(Section):
    """Evaluation texts that must not be in training.

    evaluations: files (JSON Lines, CSV or Parquet) with texts of evaluations.
    fields: fields of theirs that hold text.
    held_out: also compare the train split with the test and validation splits.
    ngram: words in a row that make a match.
    share: share of an evaluation text's n-grams in one document from which it is contaminated; an
        n-gram that fills a whole short text always counts.
    action: `remove` the training document, or only `report` it.
    """

    evaluations: tuple[Filled, ...] = ()
    fields: tuple[str, ...] = ("text", "question", "prompt")
    held_out: bool = False
    ngram: Annotated[int, Field(ge=3, le=50)] = 13
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    action: Literal["remove", "report"] = "remove"

    @model_validator(mode="after")
    def _some_fields(self):
        if self.evaluations and not self.fields:
            raise ValueError("overlap.fields is empty: name the fields that hold text")
        return self
