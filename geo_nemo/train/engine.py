"""Model, optimizer and schedule of a run, and the one train step: Megatron-Core's parts composed.

train step: forward and backward over the rank's micro-batches, gradients summed over ranks and
divided once by the count of trained tokens, finite check, clip, AdamW, learning-rate clock.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer
from megatron.core.pipeline_parallel import get_forward_backward_func

from geo_nemo.config import Run
from geo_nemo.data.batches import Batch
from geo_nemo.model.attention_backend import tell_attention_backend
from geo_nemo.model.build import transformer_config
from geo_nemo.model.context import ContextRank
from geo_nemo.model.fp8 import token_multiple
from geo_nemo.model.group_embedding import tell_groups
from geo_nemo.train.blame import Bad, Blame
from geo_nemo.train.fp8_scales import scales_kept, scales_of_taken_steps
from geo_nemo.train.gradients import clip, finalize, squared_norm
from geo_nemo.train.loss import LossOutput, masked_loss
from geo_nemo.train.micro_batch import MicroBatch, forward, in_groups, on_device
from geo_nemo.train.parts import make_optimizer, model_chunks, unwrapped
from geo_nemo.train.ranges import Ranges, span
from geo_nemo.train.schedule import Schedule
from geo_nemo.train.step import StepReport
from geo_nemo.train.step_clock import StepClock

LossCheck = Callable[[float, int], None]


def _any_loss(loss: float, step: int) -> None: ...


class Engine:
    """This process's part of the model and its optimizer."""

    def __init__(self, run: Run, vocab_size: int, num_groups: int, device: torch.device):
        self.device = device
        self.num_groups = num_groups
        self.clip_grad = run.train.clip_grad
        self.z_loss = run.train.z_loss
        self.config = transformer_config(
            run.model, run.parallel, run.precision, device, run.deterministic
        )
        # Scales of the delayed recipe follow the values of the steps before.
        self._follows_scales = bool(self.config.fp8) and self.config.fp8_recipe == "delayed"
        if device.type == "cpu":  # by BLAS (geo_nemo.runtime.cpu_speed), in fp32 alone
            self.config.gradient_accumulation_fusion = run.precision.dtype == "fp32"
        self.model = model_chunks(run, self.config, vocab_size, device, num_groups)
        self.context = ContextRank(
            parallel_state.get_context_parallel_rank(),
            run.parallel.context,
            multiple=token_multiple(run.precision, run.parallel),
        )
        self.optimizer = make_optimizer(run, self.model)
        self.schedule = Schedule(self.optimizer, run)
        self.clock = StepClock(device)
        self._weight = torch.zeros((), dtype=torch.float64, device=device)
        self.config.finalize_model_grads_func = self.clock.before(self._finalize)
        self.config.grad_scale_func = self.optimizer.scale_loss
        if run.parallel.overlap_grad_reduce:
            self.config.no_sync_func = self._no_sync

    @property
    def modules(self) -> list[torch.nn.Module]:
        """The GPTModels without their wrappers: the chunks of an interleaved pipeline, or one."""
        return [unwrapped(chunk) for chunk in self.model]

    @property
    def module(self) -> torch.nn.Module:
        """The only GPTModel, without its wrappers, of a pipeline that is not interleaved."""
        (module,) = self.modules
        return module

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        """`modules` by the names that a checkpoint's state has for them."""
        if len(self.model) == 1:
            return {"model": self.module}
        return {f"model{number}": module for number, module in enumerate(self.modules)}

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Every parameter of this process."""
        for module in self.modules:
            yield from module.parameters()

    @contextmanager
    def whole_parameters(self) -> Iterator[None]:
        """Within the block every rank holds the newest parameters, also under overlap.

        `overlap_param_gather` leaves those that other ranks have updated to the next forward pass.
        """
        overlapping = [
            chunk
            for chunk in self.model
            # Within another such block it has no hooks.
            if chunk.ddp_config.overlap_param_gather and chunk.remove_forward_pre_hook_handles
        ]
        for chunk in overlapping:
            chunk.disable_forward_pre_hook()
        yield
        for chunk in overlapping:
            chunk.enable_forward_pre_hook()

    def gather_parameters(self) -> None:
        """Let every rank have each other's parts of the parameters, within `whole_parameters`."""
        for chunk in self.model:
            if chunk.ddp_config.use_distributed_optimizer:
                chunk.start_param_sync(force_sync=True)

    @property
    def distributed_optimizers(self) -> list[DistributedOptimizer]:
        """The distributed optimizers that `optimizer` consists of; none where it is another."""
        inner = getattr(self.optimizer, "chained_optimizers", [self.optimizer])
        return [each for each in inner if isinstance(each, DistributedOptimizer)]

    def zero_gradients(self) -> None:
        """Empty the gradient buffers."""
        for chunk in self.model:
            chunk.zero_grad_buffer()

    @contextmanager
    def _no_sync(self) -> Iterator[None]:
        with ExitStack() as stack:
            for chunk in self.model:
                stack.enter_context(chunk.no_sync())
            yield

    def train_step(
        self, batches: Sequence[Batch], step: int, check: LossCheck | None = _any_loss
    ) -> StepReport:
        """One optimizer step over this rank's micro-batches of the global batch.

        check: called with the loss and the step before weights change; may raise BadStepError.
            None: the host waits for nothing, and the report's `settle` tells of a bad step later,
            when it has been taken.

        Raises:
            BadStepError: the loss or the gradient norm is not finite, or `check` refuses the loss,
                on every rank alike; weights, and the scales of FP8, are as before the step.
        """
        may_be_refused = check is not None and self._follows_scales
        with scales_of_taken_steps(self.modules) if may_be_refused else nullcontext():
            return self._train_step(batches, step, check)

    def _train_step(
        self, batches: Sequence[Batch], step: int, check: LossCheck | None
    ) -> StepReport:
        self.clock.start()
        self.zero_gradients()
        self.optimizer.zero_grad()
        reports = self.forward_backward(batches)
        if self.device.type == "cuda":
            tell_attention_backend()
        with self.span("optimizer"):
            self.optimizer.prepare_grads()
            squared = squared_norm(self.optimizer, self.device)
            retake = None if check is None else lambda: self._bad_gradients(batches)
            blame = Blame(step, batches, reports, retake)
            lr = self.optimizer.param_groups[0]["lr"]
            report = StepReport(self._reduce(reports), squared, lr, self.clock.reading(), blame)
            if check is not None:
                blame.check_loss(report.loss)
                check(report.loss, step)
                report.settle()
            if self.clip_grad:
                clip(self.optimizer, squared, self.clip_grad)
            self.optimizer.step_with_ready_grads()
        self.schedule.step(1)
        return report

    def name_ranges(self, ranges: Ranges | None) -> None:
        """Name the parts of a step for a profiler; None: no more."""
        self.config.timers = ranges
        for optimizer in getattr(self.optimizer, "chained_optimizers", [self.optimizer]):
            optimizer.config.timers = ranges

    def span(self, name: str) -> AbstractContextManager[None]:
        """A range of this name, while ranges are named."""
        return span(self.config.timers, name)

    def evaluate(self, batches: Sequence[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
        """Nats and weights of tokens by group over the batches of all ranks, [num_groups] each.

        Every rank calls it with as many batches as the others of its model-parallel group.
        """
        with self.whole_parameters(), scales_kept(self.modules), torch.no_grad():
            totals = self._reduce(self.forward_backward(batches, forward_only=True)).cpu()
        sums, weights, _ = totals
        return sums, weights

    def skip_step(self) -> None:
        """Let the clock of the learning rate go on, and nothing else."""
        self.schedule.step(1)

    def parameter_norm(self) -> float:
        """L2 norm of all weights, each counted once; every rank calls it."""
        squares = torch.zeros((), dtype=torch.float64, device=self.device)
        first_of_tensor = parallel_state.get_tensor_model_parallel_rank() == 0
        with torch.no_grad(), self.whole_parameters():
            for weight in self.parameters():
                # Norms are on every tensor-parallel rank; tied embeddings on two pipeline stages.
                split = getattr(weight, "tensor_model_parallel", False)
                if (split or first_of_tensor) and not getattr(weight, "shared", False):
                    squares += weight.detach().double().square().sum()
        dist.all_reduce(squares, group=parallel_state.get_model_parallel_group())
        return math.sqrt(float(squares))

    def forward_backward(
        self, batches: Sequence[Batch], forward_only: bool = False
    ) -> list[dict[str, torch.Tensor]]:
        """Gradients of the summed loss in the buffers; the micro-batches' reports (last stage)."""
        size, seq_length = batches[0].tokens.shape
        self._weight.zero_()
        if len(self.model) > 1:
            batches = in_groups(batches, self.config.pipeline_model_parallel_size)
        return get_forward_backward_func()(
            forward_step_func=self._forward_step,
            data_iterator=[on_device(batches, self.device, self.context) for _ in self.model],
            model=self.model,
            num_microbatches=len(batches),
            # A micro-batch is one packed sequence, as the THD layout wants.
            seq_length=size * seq_length,
            micro_batch_size=1,
            forward_only=forward_only,
        )

    def _forward_step(
        self, data_iterator: Iterator[MicroBatch], model: torch.nn.Module
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], LossOutput]]:
        tensors = next(data_iterator)
        # Validation is without it, as whoever uses the model is.
        tell_groups(model, tensors["group_ids"] if torch.is_grad_enabled() else None)
        per_token_loss = forward(model, tensors)
        loss = masked_loss(tensors["loss_mask"], tensors["group_ids"], self.num_groups, self.z_loss)

        def weighed(per_token_loss: torch.Tensor) -> LossOutput:
            output = loss(per_token_loss)
            self._weight += output[-1]["weights"].sum()
            return output

        return per_token_loss, weighed

    def _finalize(
        self, chunks: list[DistributedDataParallel], count: torch.Tensor | None, **options: object
    ) -> None:
        """`finalize` by the weight of the tokens: Megatron-Core's own count adds up integers."""
        finalize(chunks, self._weight, **options)

    def _reduce(self, reports: list[dict[str, torch.Tensor]]) -> torch.Tensor:
        """Nats, weights and counts by group over all micro-batches and ranks, on each.

        [3, num_groups]; nats are weighted.
        """
        total = torch.zeros(3, self.num_groups, dtype=torch.float64, device=self.device)
        if reports and parallel_state.get_tensor_model_parallel_rank() == 0:
            for report in reports:
                total += torch.stack([report[name] for name in ("sums", "weights", "counts")])
        dist.all_reduce(total)
        return total

    def _bad_gradients(self, batches: Sequence[Batch]) -> Bad:
        """This rank's micro-batches whose gradients alone, not summed over ranks, are not finite.

        For a step that has failed: it takes the micro-batches again, one by one.
        """
        finalize, no_sync = self.config.finalize_model_grads_func, self.config.no_sync_func
        self.config.finalize_model_grads_func, self.config.no_sync_func = None, nullcontext
        bad = []
        try:
            for index, batch in enumerate(batches):
                self.zero_gradients()
                with self._no_sync(), scales_kept(self.modules):
                    self.forward_backward([batch])
                gradients = (weight.main_grad for weight in self.parameters())
                if not all(torch.isfinite(gradient).all() for gradient in gradients):
                    bad.append((index, batch.sample_ids.tolist()))
        finally:
            self.config.finalize_model_grads_func, self.config.no_sync_func = finalize, no_sync
        return bad
