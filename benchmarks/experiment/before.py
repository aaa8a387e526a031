"""What an experiment makes before its runs: a first model, a choice of tokens, learnt weights.

Each command is carried out once; a change of one, or of the store, makes all anew.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.experiment.schema import BEFORE, Experiment
from benchmarks.experiment.work import Processes
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import make_folder, read_json, write_whole
from geo_nemo.common.folders import remove_folder
from geo_nemo.config.quoting import quote
from geo_nemo.config.recipe_files import add_recipes
from geo_nemo.store import TokenStore

RECIPES, MADE = "recipes", "made.json"


def prepared(
    experiment: Experiment, work: Path, store: TokenStore, processes: Processes
) -> Experiment:
    """The experiment with its commands carried out, and their places in its settings.

    Raises RunError where a command fails, and `UserError` where settings name `{before}` and there
    is no command.
    """
    folder = (work / BEFORE).resolve()
    if not experiment.before:
        words = [*experiment.settings, *(word for own in experiment.runs.values() for word in own)]
        if named := [word for word in words if "{before}" in word]:
            raise UserError(f"{named[0]} names what is made before, and the file has no before:")
        return experiment
    filled = with_places(experiment, folder, Path(store.root))
    _carry_out(filled.before, folder, store.hash, processes)
    if (folder / RECIPES).is_dir():
        add_recipes(str(folder / RECIPES))
    return filled


def with_places(experiment: Experiment, folder: Path, store: Path) -> Experiment:
    """The experiment with `{before}` and `{store}` filled in wherever they stand."""

    def filled(words: Sequence[str]) -> tuple[str, ...]:
        return tuple(_filled(word, folder, store) for word in words)

    return experiment.model_copy(
        update={
            "settings": filled(experiment.settings),
            "runs": {name: filled(own) for name, own in experiment.runs.items()},
            "before": {name: filled(words) for name, words in experiment.before.items()},
        }
    )


def _carry_out(
    commands: Mapping[str, Sequence[str]], folder: Path, store_hash: str, processes: Processes
) -> None:
    record = folder / MADE
    wanted = {name: [store_hash, *words] for name, words in commands.items()}
    made = read_json(record, f"remove {record}") if record.exists() else {}
    if any(wanted.get(name) != words for name, words in made.items()):
        remove_folder(folder)
        made = {}
    make_folder(folder)
    for name, words in commands.items():
        if name in made:
            continue
        processes.run(words, folder / "logs" / name / "log")
        made[name] = wanted[name]
        write_whole(record, json.dumps(made, indent=1).encode())


def _filled(word: str, folder: Path, store: Path) -> str:
    """A word with the places in it; of a setting, its value as Hydra reads it."""
    places = {"{before}": str(folder), "{store}": str(store.resolve())}
    if not any(name in word for name in places):
        return word
    key, sign, value = word.partition("=")
    is_setting = bool(sign) and not word.startswith("-")
    text = value if is_setting else word
    for name, place in places.items():
        text = text.replace(name, place)
    return f"{key}={quote(text)}" if is_setting else text
