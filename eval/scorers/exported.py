"""A training run as a model of transformers, for who reads what only those tell."""

import tempfile
from dataclasses import replace
from pathlib import Path

from eval.hub import read_hub
from eval.model import Model
from geo_nemo.common.files import make_folder
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.export.hugging_face import export
from geo_nemo.export.source import find_source


def export_of(
    model: Model, folder: Path, store: str | None = None, progress: Progress = no_progress
) -> Model:
    """The export of a run's checkpoint, in fp32, made in `folder` where it is not there yet.

    store: of the run's tokenizer, where it is not the run's own any more. Raises UserError.
    """
    out = folder / f"{model.name}-{model.checkpoint}"
    make_folder(folder)
    with tempfile.TemporaryDirectory() as scratch:
        place = model.folder / "checkpoints" / model.checkpoint
        source = find_source(str(place), store, Path(scratch), "store=")
        export(source, out, "fp32", progress=progress, setting="output=")
    return replace(read_hub(model.name, out), folder=out)
