"""The questions of the localization paper, each over whatever runs of a study serve for it.

A line is a comparison; `needs` says which runs a question takes. Figures of pairs are nats a token,
below 0 where the first predicts better.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from eval.analyses.efficiency import saved_tokens
from eval.analyses.study import Estimate, Member, Study, pairs
from geo_nemo.reporting.tables import short

GLOBAL = "all continents"


@dataclass(frozen=True, slots=True)
class Line:
    """A figure: of what, against what, on which documents."""

    of: str
    against: str
    tested_on: str
    estimate: Estimate
    unit: str = "nats"


@dataclass(frozen=True, slots=True)
class Question:
    """name: on the command line. asks: what it answers. needs: runs that it takes."""

    name: str
    asks: str
    needs: str
    answer: Callable[[Study], Iterator[Line]]


def local_against_global(study: Study) -> Iterator[Line]:
    """Each continent's own model against the one of all continents, on that continent."""
    for told in (True, False):
        for continent in study.continents:
            yield from _compared(
                study, f"{continent} alone", study.alone(continent, told),
                GLOBAL, study.everywhere(told), continent,
            )  # fmt: skip


def cross_region(study: Study) -> Iterator[Line]:
    """Each continent's model on every continent, against the model of that continent."""
    for told in (True, False):
        for tested in study.continents:
            for of in study.continents:
                if of != tested:
                    yield from _compared(
                        study, f"{of} alone", study.alone(of, told),
                        f"{tested} alone", study.alone(tested, told), tested,
                    )  # fmt: skip


def leave_one_out(study: Study) -> Iterator[Line]:
    """A model that never saw a continent, on it: against one that did, and with metadata or not."""
    for continent in study.continents:
        name, without = f"all but {continent}", partial(study.without, continent)
        for told in (True, False):
            yield from _compared(
                study, name, without(told), GLOBAL, study.everywhere(told), continent
            )
        yield from _compared(study, name, without(True), name, without(False), continent)


def _compared(
    study: Study,
    name: str,
    of: list[Member],
    other: str,
    against: list[Member],
    continent: str,
) -> Iterator[Line]:
    """A line for each size of which both are there, on the documents of a continent."""
    for size, matched in by_size(pairs(of, against)):
        told, untold = (words(member.trained.told) for member in (matched[0][0], matched[0][2]))
        yield Line(
            f"{name}{size}, {told}", f"{other}, {untold}", continent,
            study.change(matched, continent),
        )  # fmt: skip


def placebo(study: Study) -> Iterator[Line]:
    """Models told other documents' metadata as the baseline of those told their own."""
    told, plain, placebos = study.everywhere(True), study.everywhere(False), study.placebos()
    for of, name, against, other in (
        (told, "told", placebos, "placebo, told"),
        (placebos, "placebo, told", plain, "plain"),
    ):
        for size, matched in by_size(pairs(of, against)):
            yield Line(f"{name}{size}", other, GLOBAL, study.change(matched))
    both = pairs(told, placebos, ("without", "without"))
    scored = [pair for pair in both if has(pair[0], "without") and has(pair[2], "without")]
    for size, matched in by_size(scored):
        yield Line(
            f"told nothing now{size}", "placebo, told nothing", GLOBAL, study.change(matched)
        )


def field_ablations(study: Study) -> Iterator[Line]:
    """Models told some fields alone, each in its own template, against the plain one."""
    plain = study.everywhere(told=False)
    by_fields = sorted(
        study.everywhere(told=True), key=lambda m: (len(m.trained.fields), m.trained.fields)
    )
    for fields, members in groupby(by_fields, key=lambda m: m.trained.fields):
        for size, matched in by_size(pairs(list(members), plain)):
            yield Line(f"told {', '.join(fields)}{size}", "plain", GLOBAL, study.change(matched))


def scaling(study: Study) -> Iterator[Line]:
    """By size: what metadata gain, and what the model told nothing loses or gains."""
    plain, told = study.everywhere(told=False), study.everywhere(told=True)
    most = max((len(m.trained.fields) for m in told), default=0)
    told = [m for m in told if len(m.trained.fields) == most]
    for condition, said in (("with", "told"), ("without", "told nothing"), ("plain", "bare text")):
        baseline = "plain" if condition == "plain" else "without"
        scored = [
            pair
            for pair in pairs(told, plain, (condition, baseline))
            if has(pair[0], condition) and has(pair[2], baseline)
        ]
        for several, matched in by_size(scored):
            size = sized(matched[0][0].trained.parameters)
            yield Line(f"{several.strip(' ()') or size}, {said}", "plain", GLOBAL,
                       study.change(matched))  # fmt: skip


def learning_efficiency(study: Study) -> Iterator[Line]:
    """The share of the tokens that a told model saves until it has the plain one's last loss."""
    plain = study.everywhere(told=False)
    curves = [m for m in study.members if m.trained.is_global and m.trained.told]
    by_run = sorted(curves, key=lambda m: (_lineage(m), m.trained.tokens))
    for lineage, found in groupby(by_run, key=_lineage):
        curve = list(found)
        matched = pairs([m for m in curve if m.trained.finished], plain)
        if len(curve) < 2 or not matched:
            continue
        estimate = saved_tokens(study, curve, matched[0][2])
        label = f"told {', '.join(curve[-1].trained.fields)}, seed {lineage[-1]}"
        yield Line(label, "plain", GLOBAL, estimate, "share of tokens saved")


def _lineage(member: Member) -> tuple:
    t = member.trained
    folder = member.evaluated.record["runs"][member.name]["folder"]
    return t.parameters, t.fields, t.final_tokens, folder, t.seed


def has(member: Member, condition: str) -> bool:
    """Whether a member was scored under a condition."""
    return f"{member.name}/{condition}" in member.evaluated.arrays["keys"].tolist()


def sized(number: int, what: str = "parameters") -> str:
    """`1.347B parameters`: four figures, so that sizes of one study have names of their own."""
    return f"{short(number, '.4g')} {what}"


def words(told: bool) -> str:
    return "told" if told else "plain"


def by_size(found: list[tuple[Member, str, Member, str]]) -> Iterator[tuple[str, list]]:
    """Pairs of one size, length and set of fields together, which differ in seed; in brackets, what
    tells them from the others, if there are any.
    """

    def kind(pair) -> tuple[int, int, tuple[str, ...]]:
        of, against = pair[0].trained, pair[2].trained
        return of.parameters, of.final_tokens, of.fields or against.fields

    groups = [(key, list(of)) for key, of in groupby(sorted(found, key=kind), key=kind)]
    is_one_size = len({key[:2] for key, _ in groups}) == 1
    are_same_fields = len({key[2] for key, _ in groups}) == 1
    for (parameters, tokens, fields), matched in groups:
        said = [] if is_one_size else [sized(parameters), sized(tokens, "tokens")]
        said += [] if are_same_fields else fields
        yield f" ({', '.join(said)})" if said else "", matched


QUESTIONS = {
    question.name: question
    for question in (
        Question(
            "local_against_global", "Is a continent's own model better there than a global one?",
            "a run of one continent and one of all, both with metadata or both without",
            local_against_global,
        ),
        Question(
            "cross_region", "What does a model lose on continents that it was not trained on?",
            "runs of two continents or more, each alone", cross_region,
        ),
        Question(
            "leave_one_out", "Do metadata make up for a continent that was never seen?",
            "a run that leaves a continent out, and one of all, or its like without metadata",
            leave_one_out,
        ),
        Question(
            "field_ablations", "Which fields carry the gain?",
            "runs of all continents: one without metadata, others with some fields",
            field_ablations,
        ),
        Question(
            "placebo", "Is it what metadata say, or that there are any?",
            "runs of all continents, one with metadata and one with metadata=placebo", placebo,
        ),
        Question(
            "scaling", "How does the gain move with the size of the model?",
            "runs of all continents with metadata and without, of one size or more", scaling,
        ),
        Question(
            "learning_efficiency", "How many tokens does a told model save?",
            "a run with metadata at several checkpoints (runs.NAME=RUN@all) and one without",
            learning_efficiency,
        ),
    )
}  # fmt: skip
