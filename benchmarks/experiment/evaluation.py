"""The evaluation that an experiment asks for, checked before anything trains."""

from pathlib import Path

from benchmarks.experiment.schema import Evaluation, Experiment
from eval.conditions import check_fields_of
from eval.config import EvalConfig
from eval.texts import StoreTexts
from geo_nemo.common.errors import UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.quoting import quote
from geo_nemo.runtime.device import resolve_device
from geo_nemo.store import TokenStore


def eval_arguments(
    name: str, run: Path, store: Path, output: Path, evaluation: Evaluation
) -> list[str]:
    """Of the command that evaluates a run as an experiment asks."""
    return [
        "eval", f"runs.{name}={quote(run)}", f"store={quote(store)}", f"output={quote(output)}",
        f"conditions=[{','.join(evaluation.conditions)}]", *evaluation.settings,
    ]  # fmt: skip


def evaluation_config(experiment: Experiment, store: Path) -> EvalConfig:
    """The config of its evaluations, of a run that there is not; `UserError` for a mistake."""
    name, none = next(iter(experiment.runs)), Path("/none")
    arguments = eval_arguments(name, none, store, none, experiment.evaluation)
    try:
        config = load_config("eval", EvalConfig, arguments[1:])
    except UserError as error:
        raise UserError(f"evaluation.settings: {error}") from None
    if config.metadata is None:
        raise UserError(
            "evaluation.settings name no metadata, so that each run would be scored under its own "
            "policy: add metadata=full"
        )
    return config


def check_evaluation(experiment: Experiment, store: TokenStore) -> None:
    """Raise `UserError` where the store lacks what evaluation or claims are about, and where they
    ask for a device that is not here."""
    config = evaluation_config(experiment, Path(store.root))
    assert config.metadata is not None  # or it would have been refused
    try:
        resolve_device(config.device)
        texts = StoreTexts(store, store.split(config.split))
        texts.check(config.metadata, "metadata")
        for condition in config.conditions:
            check_fields_of(condition, config.metadata, next(iter(experiment.runs)))
        if config.groups is not None:
            texts.check_groups(config.groups)
    except UserError as error:
        raise UserError(f"evaluation: {error}") from None
    _check_among(experiment, store)


def _check_among(experiment: Experiment, store: TokenStore) -> None:
    there = {"continent": store.continents, "country": store.countries}
    for claim in experiment.claims:
        field, _, name = (claim.among or "").partition("=")
        if field in there and name not in there[field]:
            raise UserError(
                f"the claim '{claim.says}' is among {claim.among}, and the store has "
                f"{', '.join(there[field])}: give one of them"
            )
