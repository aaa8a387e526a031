"""lm-evaluation-harness on any model of `eval.models`, with metadata before every task.

    from eval.harness import register
    register()
    lm_eval.simple_evaluate("geo_nemo", "path=runs/a,country=gb,host=bbc.co.uk", tasks=["arc_easy"])

    python -m eval.harness --model geo_nemo --model_args path=runs/a,country_field=country \
      --include_path eval/tasks --tasks localnewsqa

Metadata are fixed (`country`, `host`), or those of each document of a task, by the names of its
columns (`country_field`, `host_field`); without any, a document is framed as one that is told
nothing. `bare=true` gives the model the text alone, as the harness's own model classes do.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.model import policies
from eval.models import read_models
from eval.question_schemas import country_of
from eval.questions import scored
from eval.scorers.load import load
from eval.scorers.tokenizers import tokenizer_of
from geo_nemo.common.errors import as_typed
from geo_nemo.config import UserError
from geo_nemo.metadata.compose import NO_TOKENS, Composer
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.geography import continent_of
from geo_nemo.metadata.record import MetadataRecord

NAME = "geo_nemo"
ARGUMENTS = "path, country, host, country_field, host_field, bare, dtype, store"
SEQUENCES_IN_ONE = 4


@dataclass(frozen=True)
class Told:
    """What stands before each document: a value, or the column of the document that has it."""

    country: str = ""
    host: str = ""
    country_field: str = ""
    host_field: str = ""

    def record(self, document: dict[str, Any]) -> MetadataRecord | None:
        """Of a task's document; None where nothing is told. Raises `UserError`."""
        country = country_of(self._value(document, "country"))
        host = str(self._value(document, "host") or "")
        if not country and not host:
            return None
        return MetadataRecord(host, country, continent_of(country) if country else "")

    def _value(self, document: dict[str, Any], name: str) -> Any:
        column = getattr(self, f"{name}_field")
        if column and column not in document:
            raise UserError(
                f"{name}_field={column}: a document of the task has {', '.join(document)}, and no "
                f"{column}"
            )
        return document[column] if column else getattr(self, name)


class Texts:
    """A loaded model that scores continuations of contexts, behind metadata."""

    @as_typed({"runs.model=": "path=", "runs.model": "path="})
    def __init__(self, path: str, told: Told, bare: bool, device: str, dtype: str, store: str):
        models = read_models({"model": path})
        if len(models) != 1:
            raise UserError(f"path={path} names several models: give one of its steps")
        (model,) = models.values()
        config = EvalConfig(runs={"model": path}, store=store or "-", output="-", device=device,
                            dtype=dtype)  # fmt: skip
        self.tokenizer = tokenizer_of(model, store or None)
        self.composer = Composer(policies(models, None)["model"], self.tokenizer)
        self.told, self.bare = told, bare
        self.seq_length = model.seq_length
        self.scorer = load(model, config)

    def log_p(self, requests: Sequence[tuple[str, str, dict[str, Any]]]) -> list[float]:
        """log p of each continuation, of (context, continuation, document), nats.

        Contexts that are too long lose their beginning, metadata stay. Raises `UserError`.
        """
        framed: list[list[tuple[Composed, int]]] = []
        last = None
        for request in requests:
            item, size = self._framed(*request)
            start = item.ids[: len(item.ids) - size].tobytes()
            # Continuations of one context stand behind each other: it is computed once for them.
            if start == last:
                framed[-1].append((item, size))
            else:
                framed.append([(item, size)])
            last = start
        names = [f"request {number}" for number in range(len(framed))]
        quiet: Callable[..., None] = lambda *_: None  # noqa: E731
        found = scored(
            self.scorer, self.composer, framed, names, SEQUENCES_IN_ONE * self.seq_length, NAME,
            "task", quiet,
        )  # fmt: skip
        return found.tolist()

    def _framed(
        self, context: str, continuation: str, document: dict[str, Any]
    ) -> tuple[Composed, int]:
        # A space at the end of the context belongs to the continuation, as tokenizers split words.
        space = len(context) - len(context.rstrip())
        if space:
            context, continuation = context[:-space], context[-space:] + continuation
        start = "" if self.bare else " "
        whole = np.array(self.tokenizer.encode(start + context + continuation), np.int32)
        # Without a context the space in front belongs to the first word that is scored.
        before = len(self.tokenizer.encode(start + context)) if context else 0
        asked, ending = whole[:before], whole[before:]
        block, label = NO_TOKENS, NO_TOKENS
        if not self.bare:
            block = self.composer.prefix_ids(self.told.record(document))
            opened = len(block) > 0
            label = self.composer.content_label(opened)
            if before:
                asked = self.composer.texts(NO_TOKENS, asked, opened)[1]
            else:
                ending = self.composer.texts(NO_TOKENS, ending, opened)[1]
            block = np.concatenate([self.composer.meta_ids, block])
        room = self.seq_length + 1 - 1 - len(block) - len(label) - len(ending)
        if room < 0 or not len(ending):
            raise UserError(
                f"a continuation of {len(ending)} tokens does not fit behind its metadata in "
                f"{self.seq_length}: leave the task out"
            )
        body = np.concatenate([asked[max(0, len(asked) - room) :], ending])
        parts = (block, NO_TOKENS, NO_TOKENS, label, body, NO_TOKENS, NO_TOKENS)
        return Composed(self.tokenizer.bos_id, parts), len(ending)


def register() -> None:
    """Make the model class `geo_nemo` known to lm-evaluation-harness."""
    try:
        # Its own classes come with this, else `hf` is not found beside ours.
        import lm_eval.models  # noqa: F401
        from lm_eval.api.model import LM
        from lm_eval.api.registry import MODEL_REGISTRY, register_model
    except ImportError:
        raise UserError("lm-evaluation-harness is not here: pip install 'geo-nemo[eval]'") from None
    if NAME in MODEL_REGISTRY:
        return

    @register_model(NAME)
    class GeoNemo(LM):
        """Multiple choice by log-likelihood, and rolling log-likelihood; no generation."""

        def __init__(
            self, path: str, country: str = "", host: str = "", country_field: str = "",
            host_field: str = "", bare: bool = False, device: str | None = None,
            dtype: str = "fp32", store: str = "", batch_size: Any = None, **unknown: Any,
        ):  # fmt: skip
            super().__init__()
            unknown.pop("max_batch_size", None)
            if unknown:
                raise UserError(f"model_args: no {next(iter(unknown))}; there is {ARGUMENTS}")
            told = Told(country, host, country_field, host_field)
            # The harness says cuda:0 where nobody named a device.
            chip = device if device in ("cpu", "gpu") else "auto"
            self.texts = Texts(path, told, bool(bare), chip, dtype, store)

        def loglikelihood(self, requests: list, disable_tqdm: bool = False) -> list:
            counts = Counter((r.task_name, r.doc_id) for r in requests)
            if requests and min(counts.values()) == 1:
                raise UserError(
                    f"task {requests[0].task_name} asks whether a text is the likeliest of all, "
                    "which geo_nemo does not measure: give tasks of multiple choice"
                )
            asked = [(*request.args, request.doc or {}) for request in requests]
            # Whether the continuation is the likeliest of all is not known, and not asked for.
            return [(value, False) for value in self.texts.log_p(asked)]

        def loglikelihood_rolling(self, requests: list, disable_tqdm: bool = False) -> list:
            asked = [("", request.args[0], request.doc or {}) for request in requests]
            return self.texts.log_p(asked)

        def generate_until(self, requests: list, disable_tqdm: bool = False) -> list:
            raise UserError(
                f"task {requests[0].task_name} asks for generated text, which geo_nemo does not "
                "give: choose tasks of multiple choice"
            )


def main() -> None:
    """The harness's own command line, with the model class `geo_nemo`."""
    register()
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except UserError as error:
        print(f"eval.harness: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
