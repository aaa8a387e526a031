"""A trained checkpoint as a function from packed sequences to losses; users need no Megatron."""

from pathlib import Path

import numpy as np
import torch

from geo_nemo.common.parse import parse_json
from geo_nemo.config import Parallel, Precision, Run, UserError
from geo_nemo.config.average import Weights
from geo_nemo.config.load import validate
from geo_nemo.data.batches import stack_sequences
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.export.checkpoints import of_step
from geo_nemo.train.checkpoint.files import content_problem


class CheckpointScorer:
    """The model of a checkpoint on one device, in fp32.

    seq_length: length that the model was trained at. vocab_size: of its tokenizer.
    """

    def __init__(self, model: torch.nn.Module, run: Run, vocab_size: int, device: torch.device):
        self.model = model
        self.seq_length = run.data.seq_length
        self.vocab_size = vocab_size
        self.device = device

    @torch.no_grad()
    def nll(self, sequence: PackedSequence) -> np.ndarray:
        """-log p(label) in nats at each position of `sequence`, float32 [s]."""
        from geo_nemo.train.micro_batch import forward, to_device

        losses = forward(self.model, to_device(stack_sequences([sequence], [0]), self.device))
        return losses.float().flatten().cpu().numpy()

    @torch.no_grad()
    def guided(self, told: PackedSequence, untold: PackedSequence, strength: float) -> np.ndarray:
        """-log p(label) where how told differs from not told counts `strength` times.

        float32 [s] of `told`, 0 where its loss_mask is; softmax of untold + strength * (told -
        untold), whose labels with a loss are the same.
        """
        wanted = told.loss_mask > 0
        logits = [
            self._logits(sequence)[torch.from_numpy(sequence.loss_mask > 0)]
            for sequence in (told, untold)
        ]
        mixed = torch.lerp(logits[1], logits[0], strength)
        labels = torch.from_numpy(told.labels[wanted]).to(self.device)
        out = np.zeros(len(told.tokens), np.float32)
        losses = torch.nn.functional.cross_entropy(mixed, labels, reduction="none")
        out[wanted] = losses.cpu().numpy()
        return out

    def _logits(self, sequence: PackedSequence) -> torch.Tensor:
        """float32 [s, vocabulary], as the losses are made of them."""
        from geo_nemo.train.micro_batch import forward, to_device

        tensors = to_device(stack_sequences([sequence], [0]), self.device)
        return forward(self.model, {**tensors, "labels": None})[0].float()


def load_scorer(
    run_dir: str | Path,
    device: str = "auto",
    weights: Weights = "trained",
    step: int | None = None,
) -> CheckpointScorer:
    """The model of a run's newest checkpoint, in this process, whatever layout trained it.

    weights: those of the last step, or their average; `UserError` where the run kept none.
    step: of another checkpoint than the newest.
    """
    folder = Path(run_dir)
    run, vocab_size = _described(folder)
    # Megatron-Core is imported after the runtime is ready for it.
    from geo_nemo.runtime.device import resolve_device
    from geo_nemo.runtime.distributed import ensure_single_process

    target = resolve_device(device)
    ensure_single_process(target, run.seed)
    from geo_nemo.model.build import build_model, transformer_config
    from geo_nemo.train.average import average_of
    from geo_nemo.train.checkpoint.fp8_state import load_weights, sharded_weights
    from geo_nemo.train.checkpoint.load import newest, read_state

    single, precision = Parallel(), Precision(dtype="fp32")
    config = transformer_config(run.model, single, precision, target, run.deterministic)
    model = build_model(run.model, config, vocab_size, run.data.seq_length, target, run.seed)
    checkpoint = newest(folder / "checkpoints") if step is None else _of_step(folder, step)
    wanted = sharded_weights(model, is_loading=True)
    if weights == "average":
        wanted = average_of(wanted, run, folder)
    state = read_state({"model": wanted}, checkpoint)
    load_weights(model, state["model"])
    model.eval()
    return CheckpointScorer(model, run, vocab_size, target)


def _of_step(folder: Path, step: int) -> Path:
    checkpoint = of_step(folder / "checkpoints", step)
    problem = "is not there, or not whole" if checkpoint is None else content_problem(checkpoint)
    if problem:
        raise UserError(f"{folder}: the checkpoint of step {step} {problem}; give another step")
    return checkpoint


def _described(folder: Path) -> tuple[Run, int]:
    path = folder / "run.json"
    try:
        record = parse_json(path.read_text())
        config, vocab_size = record["config"], int(record["vocab_size"])
    except OSError as error:
        reason = f"{path}: {error.strerror}"
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{path} is no record of one ({error!r})"
    else:
        return validate(f"{path} of another version", Run, config, kept=True), vocab_size
    raise UserError(f"{folder} is not a training run: {reason}; give the output_dir of one")
