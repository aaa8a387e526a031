"""Config of `geo-nemo probe`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eval.config import EvalConfig, Path, RunName
from geo_nemo.config.section import OnDisk, Positive, Section, Seed

WAYS = ("without", "plain", "with")
USUAL_FIELDS = ("country", "continent")
PARTS = ("hosts", "layers", "regions", "membership", "extraction", "order")


class ProbeConfig(Section):
    """Which models are probed, on which texts, for what.

    runs, store, corpus, split, device, dtype: as `EvalConfig` has them. output: folder that
        receives `probe.json`, `probe.md` and `probe.csv`.
    only: parts that are done; null for all that the texts and models allow.
    fields: whose values are looked for in hidden states: `country`, `continent`, any of the texts.
    told: what the model reads whose hidden states are taken: nothing but the text, with labels or
        without, or its metadata too.
    num_documents: of each split, stratified by country. max_tokens: of each that are read.
    test: fraction of the hosts whose documents are tested and not fitted. penalty: of ridge
        regression, by feature.
    benchmark: JSON Lines whose items' order the model may have read. permutations: it is compared
        with.
    prompt, extracted: tokens of a body that are shown, and that must then follow.
    """

    runs: Annotated[dict[RunName, Path], Field(min_length=1)]
    store: Path | None = None
    corpus: Path | None = None
    cache_dir: OnDisk | None = None
    split: Path = "test"
    output: OnDisk
    only: tuple[Literal[PARTS], ...] | None = None
    fields: Annotated[tuple[str, ...], Field(min_length=1)] = USUAL_FIELDS
    told: Literal[WAYS] = "without"
    num_documents: Positive | None = 2000
    max_tokens: Positive = 256
    test: Annotated[float, Field(gt=0, lt=1)] = 0.3
    penalty: Annotated[float, Field(gt=0)] = 1.0
    prompt: Positive = 16
    extracted: Positive = 16
    benchmark: Path | None = None
    permutations: Annotated[int, Field(ge=19)] = 99
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: Seed = 1234
    device: Literal["auto", "cpu", "gpu"] = "auto"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"

    @property
    def reads_states(self) -> bool:
        """Whether a part is done that only models of transformers give."""
        return bool({"layers", "regions", "extraction"} & set(self.only or PARTS))

    @model_validator(mode="after")
    def _texts(self):
        if self.only and "order" in self.only and self.benchmark is None:
            raise ValueError("only=[order] needs benchmark=FILE, whose items' order is tried")
        self.evaluation(self.split, ("without",))
        return self

    def evaluation(self, split: str, conditions: tuple[str, ...]) -> EvalConfig:
        """The same texts as an evaluation has them."""
        same = ("runs", "store", "corpus", "cache_dir", "output", "num_documents", "max_tokens",
                "bootstrap_samples", "confidence", "seed", "device", "dtype")  # fmt: skip
        return EvalConfig(
            **{name: getattr(self, name) for name in same}, split=split, conditions=conditions,
            allow_overlap=True,
        )  # fmt: skip
