"""The proxy run that learns weights of groups, from settings to names and numbers."""

import numpy as np

from geo_nemo.common.progress import Progress
from geo_nemo.config import Run, UserError
from geo_nemo.config.stage_sizes import document_fractions
from geo_nemo.data.batches import Batch, BatchStream
from geo_nemo.data.mixing import Groups
from geo_nemo.data.selection import stage_documents
from geo_nemo.runtime.device import resolve_device
from geo_nemo.runtime.distributed import ensure_single_process


def learnt_weights(run: Run, mu: float, progress: Progress) -> dict[str, float]:
    """The mean weight of each group of the first stage's documents, by name; they add up to 1.

    Raises UserError where a setting is wrong, or the stage has one group.
    """
    if run.parallel.model_parallel_size > 1:
        raise UserError("learn-weights works in one process: leave parallel.* out")
    device = resolve_device(run.device)
    ensure_single_process(device, run.seed)
    from geo_nemo.train.domain_weights import DomainWeights, learn
    from geo_nemo.train.engine import Engine
    from geo_nemo.train.setup import SPLIT, prepare

    prepared = prepare(run, world_size=1)
    stage = prepared.stages[0]
    dataset = prepared.dataset(stage, progress)
    split = prepared.store.split(SPLIT)
    documents = stage_documents(split, run.stages, run.seed, document_fractions(run))[stage.name]
    (axis,) = prepared.groups.axes
    # Those with text: a sampling takes no weight of others.
    groups = np.flatnonzero(Groups.count(split, documents, axis).tokens).tolist()
    if len(groups) < 2:
        raise UserError(f"stage {stage.name} has one {axis.field}: there is nothing to weigh")
    engine = Engine(run, prepared.vocab_size, prepared.groups.size, device)
    stream = BatchStream(dataset, stage.global_batch_size, stage.micro_batch_size, 0, 1)

    def batches() -> list[Batch] | None:
        return next(stream, None)

    weights = DomainWeights(len(groups), mu)

    def tell(done: int) -> None:
        progress("proxy", done, stage.steps)

    mean = learn(engine, batches, weights, groups, tell)
    stream.close()
    return {axis.names[group]: float(mean[at]) for at, group in enumerate(groups)}
