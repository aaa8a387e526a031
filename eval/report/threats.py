"""What may be wrong with this very evaluation: a sentence for each threat that applies."""

from collections.abc import Iterator
from typing import Any

from eval.bootstrap import MIN_DOCUMENTS
from eval.report.inputs import Inputs
from geo_nemo.common.counts import plural
from geo_nemo.config import MetadataPolicy
from geo_nemo.metadata.fields import lines_of
from geo_nemo.metadata.geography import UNKNOWN

FEW_DOCUMENTS, FEW_OF_A_COUNTRY, FEW_HOSTS, UNBALANCED, MANY_EPOCHS = 1000, 30, 30, 10, 4
# Above it all models are right: such questions tell none apart.
CEILING = 0.99


def threats(inputs: Inputs) -> list[str]:
    """Sentences, the gravest first."""
    evaluation = inputs.evaluation
    return [
        *_leaks(evaluation), *_synthetic(evaluation), *_few(evaluation),
        *_untold(evaluation), *_seeds(inputs), *_epochs(inputs), *_unknown(evaluation),
        *_asked(evaluation), *_repeated(evaluation),
    ]  # fmt: skip


def _leaks(evaluation: dict[str, Any]) -> Iterator[str]:
    for name, run in evaluation["runs"].items():
        if run["same_store"] is False:
            yield (
                f"Run {name} was trained on another token store than it is evaluated on: test "
                "documents may be among its training documents."
            )
        told = MetadataPolicy.model_validate(run["policy"])
        if any("path" in line.columns for line in lines_of(told)):
            yield (
                f"Run {name} is told URLs with their paths, which spell most words of a title: its "
                "gain on titles is that of reading them. Bodies are what counts."
            )
    alike = evaluation["documents"].get("overlap")
    if alike:
        stand = "stands" if alike == 1 else "stand"
        yield f"{alike:,} of the scored documents {stand} in training, too, letter by letter."
    # Of other models nothing is known at all, which `_unknown` says.
    blind = [
        name
        for name in evaluation["documents"].get("overlap_not_known", [])
        if evaluation["runs"][name]["policy_hashes"]
    ]
    if blind:
        yield (
            f"Whether {_names(blind)} read these documents in training could not be looked up: "
            "store=STORE of that training beside the corpus tells."
        )


def _synthetic(evaluation: dict[str, Any]) -> Iterator[str]:
    if evaluation["floor"] is not None:
        yield (
            "The corpus is synthetic: its countries differ as its generator makes them differ, and "
            "gains on it say nothing of how large they are on news."
        )


def _few(evaluation: dict[str, Any]) -> Iterator[str]:
    documents = evaluation["documents"]
    if documents["scored"] < FEW_DOCUMENTS:
        yield f"Few documents were scored, {documents['scored']:,}: small effects are not seen."
    counts = {
        country: of["documents"]
        for country, of in documents["by_country"].items()
        if country != UNKNOWN
    }
    few = [country for country, count in counts.items() if count < FEW_OF_A_COUNTRY]
    if few and len(counts) > 1:
        yield (
            f"{len(few)} of {len(counts)} countries with fewer than {FEW_OF_A_COUNTRY} documents: "
            "their own figures are rough."
        )
    if counts and max(counts.values()) > UNBALANCED * min(counts.values()):
        yield (
            f"Countries are unbalanced: {max(counts.values()):,} documents of the most frequent, "
            f"{min(counts.values()):,} of the least. Figures over all are the frequent ones'."
        )
    hosts = documents.get("hosts")
    if hosts == 0:
        yield "The host of no document is known: what is measured may be the style of a few hosts."
    elif hosts is not None and hosts < FEW_HOSTS:
        rest = (
            "They are too few for intervals over hosts."
            if hosts < MIN_DOCUMENTS
            else "The intervals over hosts are the ones to read."
        )
        yield (
            f"The documents come from {plural(hosts, 'host')}: what is "
            f"measured may be their style. {rest}"
        )


def _untold(evaluation: dict[str, Any]) -> Iterator[str]:
    documents = evaluation["documents"]
    if untold := documents.get("untold"):
        yield (
            f"{plural(untold, 'document has', 'documents have')} no metadata: nothing is told, "
            "also where others are told the truth or something wrong."
        )
    unknown = documents.get("unknown_country")
    if unknown and "wrong_country" in documents["controls"]:
        yield (
            f"{plural(unknown, 'document is', 'documents are')} of unknown country: the other "
            "country that is told may be the right one."
        )


def _seeds(inputs: Inputs) -> Iterator[str]:
    about = inputs.evaluation["runs"]
    by_kind: dict[bool, set] = {}
    for name, run in inputs.runs.items():
        seed = run.record.get("config", {}).get("seed")
        by_kind.setdefault(bool(about[name]["conditioned"]), set()).add(seed)
    if by_kind and max(map(len, by_kind.values())) == 1:
        yield (
            "There is one training seed a condition: intervals are over documents, and another "
            "seed may move every figure by more than they show."
        )


def _epochs(inputs: Inputs) -> Iterator[str]:
    if inputs.manifest is None or "train" not in inputs.manifest.splits:
        return
    split = inputs.manifest.splits["train"]
    tokens = split.title_tokens + split.body_tokens
    for name, run in inputs.runs.items():
        stages = (run.ledger or {}).get("stages", {})
        read = sum(entry["trained"]["text_tokens"] for entry in stages.values())
        if tokens and read > MANY_EPOCHS * tokens:
            yield (
                f"Run {name} read the corpus {read / tokens:.0f} times over: part of what it knows "
                "is learnt by heart."
            )


def _unknown(evaluation: dict[str, Any]) -> Iterator[str]:
    unknown = [name for name, run in evaluation["runs"].items() if not run["policy_hashes"]]
    if unknown:
        yield (
            f"What {_names(unknown)} was trained on is not known: these documents and questions "
            "may be part of it."
        )


def _asked(evaluation: dict[str, Any]) -> Iterator[str]:
    asked = evaluation["questions"]
    if asked is None:
        return
    yield (
        "Documents are looked for in training, questions are not: that training texts hold none of "
        "them is seen to by overlap.evaluations of geo-nemo prep, whose data card says what it met."
    )
    if untold := asked.get("untold"):
        yield (
            f"{plural(untold, 'question names', 'questions name')} no place: told nothing in every "
            "condition."
        )


def _names(runs: list[str]) -> str:
    return ", ".join(runs)


def _repeated(evaluation: dict[str, Any]) -> Iterator[str]:
    twice = evaluation["documents"].get("repeated", 0)
    if twice:
        yield (
            f"{plural(twice, 'document repeats', 'documents repeat')} the text of another one: "
            "intervals over documents are narrower than they should be."
        )
    repeated = (evaluation["questions"] or {}).get("repeated", 0)
    if repeated:
        yield (
            f"{plural(repeated, 'question asks', 'questions ask')} what another one asks; "
            "intervals take them together."
        )


def ceilings(evaluation: dict[str, Any]) -> dict[str, str]:
    """Kind of question -> a sentence, where every model answers nearly all in every condition."""
    asked = evaluation["questions"]
    if asked is None:
        return {}
    rule = asked.get("rule", "by_sum")
    found = {}
    for kind in dict.fromkeys(cell["kind"] for cell in asked["cells"]):
        rates = [
            cell["accuracy"] for cell in asked["cells"]
            if (cell["kind"], cell["group"], cell["rule"]) == (kind, "all", rule)
        ]  # fmt: skip
        if min(rates) >= CEILING:
            found[kind] = (
                f"Every model answers at least {min(rates):.1%} of them in every condition: they "
                "are too easy to tell conditions apart, so no difference is tabled."
            )
    return found
