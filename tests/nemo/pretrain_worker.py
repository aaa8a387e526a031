"""Trains by NeMo's llm.pretrain in a process of its own: LOSSES DIE_AT SETTINGS...

Writes a line "STEP LOSS" for each step to the file LOSSES, and dies where step DIE_AT would begin.
Under torchrun it takes its place among the processes.
"""

import os
import sys

import lightning.pytorch as pl


class Keep(pl.Callback):
    """Notes what a step saw; dies, as by SIGKILL, before a step."""

    def __init__(self, path: str, die_at: int):
        self.path = path
        self.die_at = die_at

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == self.die_at:
            os._exit(9)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_rank:
            return
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        with open(self.path, "a") as file:
            file.write(f"{trainer.global_step - 1} {float(loss)!r}\n")


def main(path: str, die_at: str, *settings: str) -> None:
    from geo_nemo.integrations.nemo import pretrain

    devices = int(os.environ.get("WORLD_SIZE", "1"))
    pretrain(settings, devices=devices, callbacks=[Keep(path, int(die_at))])


if __name__ == "__main__":
    main(*sys.argv[1:])
