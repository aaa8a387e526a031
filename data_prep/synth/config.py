"""Config of the command `geo-nemo synth`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geo_nemo.config.section import NonNegative, OnDisk, Positive, Probability, Section, Seed

FORMAT = 2  # of the generated text; raise it when equal settings no longer give equal bytes


class Synth(Section):
    """A synthetic corpus with known truth.

    kind: `news`, from hosts of countries; or `pcfg`, from a grammar whose latent is in the fields
        level1, level2 and so on, and the number of the title's sentences in the field prompt.

    output: folder that receives news.jsonl.gz, floors.jsonl.gz, questions.jsonl, instructions.jsonl
        and instructions_test.jsonl, and synth.json.
    documents: how many; document i is the same whatever their number.
    signal: probability that a mention of a country's fact uses the country's own value; else the
        value is uniform over all values of the fact, the country's own among them.
    style: probability that a wording is the one the host prefers; else uniform over the variants.
    questions_per_country: cloze questions about the country's facts, and as many about shared ones.
    shards: number of corpus files; above 1 they are named news-00000-of-00004.jsonl.gz and so on.
    levels, likely, again, prompts, sentences: of `pcfg`: levels of the grammar, each with a latent
        bit; probability of the rule that the bit names, the other of two has the rest;
        probability that a word begins another sentence; numbers of sentences that a title may
        have; sentences of a body.
    workers: processes that write shards; has no effect on what is written.
    """

    output: OnDisk
    kind: Literal["news", "pcfg"] = "news"
    levels: Annotated[int, Field(ge=1, le=8)] = 3
    likely: Annotated[float, Field(gt=0.5, le=1)] = 0.85
    again: Probability = 0.0
    prompts: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 4, 8)
    sentences: Positive = 4
    documents: Positive = 12_000
    seed: Seed = 0
    signal: Probability = 0.9
    style: Probability = 0.6
    questions_per_country: NonNegative = 20
    shards: Annotated[Positive, Field(lt=100_000)] = 1
    workers: Positive = 1

    @model_validator(mode="after")
    def _shards_hold_documents(self):
        if self.shards > self.documents:
            raise ValueError(f"shards {self.shards} is above documents {self.documents}")
        return self
