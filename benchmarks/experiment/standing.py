"""What stands in the folders of runs: trained with these settings by this code, or refused.

A run whose last checkpoint is there is not trained again. What another version of the file or of
the code has left would else be evaluated, and its figures told under the wrong name.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.experiment.figures import short
from benchmarks.experiment.plan import Planned
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import make_folder, write_whole
from geo_nemo.train.checkpoint.changes import changed_settings
from geo_nemo.train.checkpoint.files import checkpoints, read_record

CODE = "commit.txt"


def check_standing(runs: Sequence[Planned], commit: str) -> None:
    """Raise `UserError` where a run's folder has a checkpoint of other settings or other code.

    A folder that does not say by which code it was trained, as of before it was noted, passes.
    """
    for run in runs:
        found = checkpoints(run.folder / "checkpoints")
        if found and (what := _other_settings(run, found[-1]) or _other_code(run, commit)):
            raise UserError(
                f"{run.folder} holds a run of {what}: rename the run, remove the folder, or give "
                "--work FOLDER for new ones"
            )


def note_code(runs: Sequence[Planned], commit: str) -> None:
    """Note in the folder of each run that is to begin by which code that is."""
    for run in runs:
        if not checkpoints(run.folder / "checkpoints"):
            make_folder(run.folder)
            write_whole(run.folder / CODE, commit.encode())


def _other_settings(run: Planned, checkpoint: Path) -> str:
    try:
        saved = read_record(checkpoint)["fingerprint"]
    except (ValueError, KeyError):
        return ""  # damaged: training says so, and goes on from an earlier one
    changed = changed_settings(saved, run.fingerprint)
    if not changed:
        return ""
    return f"other settings than {run.title} has now ({', '.join(changed)})"


def _other_code(run: Planned, commit: str) -> str:
    try:
        noted = (run.folder / CODE).read_text()
    except (OSError, UnicodeDecodeError):
        return ""
    if not noted or not commit or noted == commit:
        return ""
    return f"the commit {short(noted)}, and this code is of {short(commit)}"
