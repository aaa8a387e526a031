"""The training itself, which is TRL's: its SFTTrainer, over sequences that are packed by it.

Conversations that share a sequence do not see each other: positions begin anew in each, and
attention is kept inside by them (a test compares gradients with those of conversations apart).
A checkpoint of the trainer counts once its marker is there, which is written last; then older ones
go, so that there is a whole one at every moment. At a signal to stop, every rank saves after the
same step, and stops.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from geo_nemo.common.files import write_whole
from geo_nemo.common.lines import keep_lines
from geo_nemo.common.progress import Progress
from geo_nemo.config import RunError, UserError
from geo_nemo.config.tune import Lora, Tune
from geo_nemo.export.libraries import line_of, writing_weights
from geo_nemo.export.loaded import Folder, load_model
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.runtime.signals import StopRequest, announce, nobody, stop_on_signal
from geo_nemo.tune.encode import Encoded
from geo_nemo.tune.targets import targets_of

CHECKPOINTS, WHOLE, METRICS = "checkpoints", "whole.json", "metrics.jsonl"
_NAME = re.compile(r"checkpoint-\d+")


@dataclass(frozen=True)
class Stopped:
    """A tuning that was asked to stop, by a signal, and has saved; step: its last of `steps`."""

    reason: str
    step: int
    steps: int


class _Watch(TrainerCallback):
    """Marks whole checkpoints, writes metrics, and stops at a loss that is not finite, or if asked.

    keep_last: how many of the newest checkpoints stay. stop: of this process; what one rank is
    asked, all do after the same step.
    """

    def __init__(self, folder: Path, keep_last: int, progress: Progress, stop: StopRequest):
        self._folder = folder
        self._keep_last = keep_last
        self._progress = progress
        self._stop = stop
        self.failed: str | None = None
        self.stopped: Stopped | None = None

    def on_step_end(self, args, state, control, **kwargs):
        if self._is_asked(args.device) and state.global_step < state.max_steps:
            self.stopped = Stopped(self._stop.reason, state.global_step, state.max_steps)
            # The log is of all steps since the one before it, and would else lose these.
            control.should_log = control.should_save = control.should_training_stop = True

    def _is_asked(self, device: torch.device) -> bool:
        asked = bool(self._stop)
        if not torch.distributed.is_initialized():
            return asked
        anywhere = torch.tensor(int(asked), device=device)
        torch.distributed.all_reduce(anywhere, torch.distributed.ReduceOp.MAX)
        return bool(anywhere.item())

    def on_save(self, args, state, control, **kwargs):
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # every rank has written its random state
        if state.is_world_process_zero:
            folder = self._folder / f"checkpoint-{state.global_step}"
            write_whole(folder / WHOLE, json.dumps({"step": state.global_step}).encode())
            for older in _checkpoints(self._folder)[: -self._keep_last]:
                shutil.rmtree(older)

    def on_log(self, args, state, control, logs=None, **kwargs):
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not torch.isfinite(torch.tensor(float(loss))):
            self.failed = f"the loss of step {state.global_step} is {loss}"
            control.should_training_stop = True
            control.should_save = False
        if state.is_world_process_zero:
            line = {"step": state.global_step, **logs}
            with (self._folder.parent / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            note = f"loss {float(loss):.3f}"
            self._progress("tune", state.global_step, state.max_steps, note)


def train(
    config: Tune,
    folder: Folder,
    tokenizer: Any,
    encoded: Encoded,
    seq_length: int,
    work: Path,
    progress: Progress,
) -> tuple[Any, dict[str, Any]] | Stopped:
    """The tuned model, with its adapter if it has one, and what the trainer says of itself.

    work: the folder of its checkpoints, whose newest whole one it goes on from; where it is asked
    to stop before its last step, that of its last step is the newest.
    """
    import datasets
    from trl import SFTTrainer

    arguments = _arguments(config, seq_length, work)
    model = _model(folder).train()
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"input_ids": encoded.input_ids, "labels": encoded.labels})
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=adapter_config(config.lora, model) if config.method == "lora" else None,
    )
    trainer.remove_callback(_printer())
    newest = newest_checkpoint(work / CHECKPOINTS)
    if rank() == 0:
        last = _step(newest) if newest else 0  # later lines are written again
        keep_lines(work / METRICS, lambda line: line["step"] <= last)
    # Not before: a rank that waits for the others to join must end when the launcher ends it.
    with stop_on_signal(announce if rank() == 0 else nobody) as stop:
        watch = _Watch(work / CHECKPOINTS, config.keep_last, progress, stop)
        trainer.add_callback(watch)
        try:
            with writing_weights(work / CHECKPOINTS):
                trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"{line_of(error)}; give a lower micro_batch_size, or a lower seq_length and "
                "another output"
            ) from None
    if watch.failed:
        raise RunError(f"{watch.failed}: give a lower lr, and another output")
    if watch.stopped:
        return watch.stopped
    state, tuned = trainer.state, _whole_model(config, folder, trainer)
    if tuned is not None and not all(each.isfinite().all() for each in tuned.parameters()):
        raise RunError("the tuned weights are not finite: give a lower lr, and another output")
    return tuned, {
        "steps": state.global_step,
        "epochs": state.epoch,
        "sequences": len(trainer.train_dataset),
        "losses": [entry["loss"] for entry in state.log_history if "loss" in entry],
        "processes": world_size(),
    }


def _model(folder: Folder) -> Any:
    return load_model(folder, "float32", "cpu", merge=True)


def _whole_model(config: Tune, folder: Folder, trainer: Any) -> Any:
    """The tuned model in one piece; of one that is divided on rank 0 alone, elsewhere None."""
    if not trainer.is_fsdp_enabled:
        return trainer.accelerator.unwrap_model(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model)  # every rank has its part in it
    if rank() != 0:
        return None
    model = _model(folder)
    if config.method == "lora":
        from peft import get_peft_model

        model = get_peft_model(model, adapter_config(config.lora, model))
    model.load_state_dict(weights)
    return model


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; those that a killed run left behind it go, on rank 0."""
    found = _checkpoints(folder)
    whole = [path for path in found if (path / WHOLE).is_file()]
    if rank() == 0:
        for path in set(found) - set(whole):
            shutil.rmtree(path)
    return whole[-1] if whole else None


def _checkpoints(folder: Path) -> list[Path]:
    """Every folder that bears a checkpoint's name, whole or not, oldest first.

    Others, such as a copy that a user keeps as `checkpoint-100.best`, are none of the tuning's.
    """
    found = (path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name))
    return sorted(found, key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def adapter_config(lora: Lora, model: Any) -> Any:
    """PEFT's; `UserError` for a target that the model does not have."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets_of(lora, model),
        task_type="CAUSAL_LM",
    )


def is_on_cpu(config: Tune) -> bool:
    return config.device == "cpu" or not torch.cuda.is_available()


def _arguments(config: Tune, seq_length: int, work: Path) -> Any:
    from trl import SFTConfig

    together = config.micro_batch_size * world_size()
    on_cpu = is_on_cpu(config)
    return SFTConfig(
        output_dir=str(work / CHECKPOINTS),
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.global_batch_size // together,
        num_train_epochs=config.epochs,
        max_steps=config.steps or -1,
        learning_rate=config.lr,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip_grad,
        packing=config.packing,
        packing_strategy="bfd",
        max_length=seq_length,
        seed=config.seed,
        data_seed=config.seed,
        bf16=config.dtype == "bf16",
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and world_size() > 1 else None,
        save_strategy="steps",
        save_steps=config.save_every_steps,
        logging_steps=config.log_every_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it would show a mean in the place of such a loss
        gradient_checkpointing=False,
        # A group of weights a layer; a checkpoint is written by all, each its part.
        fsdp=config.shard and world_size() > 1,
        fsdp_config={"version": 2, "state_dict_type": "SHARDED_STATE_DICT"},
        report_to=[],
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=not on_cpu,
    )


def check_processes(config: Tune) -> None:
    """Raise `UserError` for a device that is not here, and for a launcher that divides weights."""
    on_cpu = is_on_cpu(config)
    if config.device == "gpu" and on_cpu:
        raise UserError("device=gpu: torch sees no GPU here; give device=cpu")
    if config.shard and on_cpu:
        raise UserError(
            "shard=true needs a GPU for each process: accelerate has FSDP there alone; leave it out"
        )
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() in ("true", "1"):
            raise UserError(
                f"accelerate was told to use {name}: start it with --multi_gpu in its place, or by "
                "torchrun, and give shard=true to divide the weights"
            )


def _printer() -> Any:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
