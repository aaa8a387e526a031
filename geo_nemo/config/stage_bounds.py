"""Where the stages of a run begin and end, from their fractions; how their texts differ."""

from collections.abc import Sequence

from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.config.replay import Replay
from geo_nemo.config.schema import Run


def stage_borders(run: Run) -> list[int]:
    """Steps at which stages begin, and the run's last; rounded so that each stage has a step."""
    return borders_of([stage.fraction for stage in run.stages.values()], run.train.steps)


def borders_of(fractions: Sequence[float], steps: int) -> list[int]:
    """The same of stages with these fractions of so many steps."""
    borders = [0]
    so_far = 0.0
    for position, fraction in enumerate(fractions):
        so_far += fraction
        left = len(fractions) - position - 1
        border = round(so_far * steps)
        borders.append(min(max(border, borders[-1] + 1), steps - left))
    borders[-1] = steps
    return borders


def stage_samples(run: Run, stage: str) -> int:
    """Sequences that a stage takes."""
    place = list(run.stages).index(stage)
    first, last = stage_borders(run)[place : place + 2]
    return (last - first) * (run.stages[stage].global_batch_size or run.train.global_batch_size)


def own_samples(run: Run, stage: str) -> int:
    """Sequences of a stage that hold its own documents: all but what it replays."""
    samples, replay = stage_samples(run, stage), run.stages[stage].replay
    return samples - replayed_of(samples, replay) if replay else samples


def replayed_of(sequences: int, replay: Replay) -> int:
    """How many of a stage's first `sequences` sequences are replayed."""
    return sequences * replay.exact.numerator // replay.exact.denominator


def different_texts(run: Run) -> str:
    """What to do about stages whose texts look different around title and body; empty: nothing.

    A policy without fields has the template of its own, which is easily forgotten: a model that was
    trained on bare texts would meet TITLE: and CONTENT: in its cooldown. The other way round, bare
    text behind a stage with labels, is what every user of the model gives it, and so is meant.
    """
    policies = {name: stage.metadata for name, stage in run.stages.items()}
    first, policy = next(iter(policies.items()))
    for name, other in policies.items():
        if other.text_alike(policy):
            continue
        if not other.fields and not other.text.label("title") + other.text.label("body"):
            continue
        named = isinstance(policy.template, str)
        mend = policy.template if named else "'{...}', the same of your own"
        return (
            f"stages {first} and {name} have other text around title and body "
            f"({template_name(policy)}, {template_name(other)}): where that is not meant, give "
            f"stages.{name}.metadata.template={mend}"
        )
    return ""


def template_name(policy: MetadataPolicy) -> str:
    """A template's name, or that it is the user's own."""
    return policy.template if isinstance(policy.template, str) else "one of your own"
