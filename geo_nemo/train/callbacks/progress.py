"""Steps, loss and speed, to whoever watches."""

from geo_nemo.common.progress import Progress
from geo_nemo.train.callback import ReadsNothing, StepEvent


class ProgressBar(ReadsNothing):
    """Steps done, loss and speed, to whoever watches rank 0."""

    def __init__(self, name: str, steps: int, progress: Progress):
        self.name = name
        self.steps = steps
        self.progress = progress

    def on_start(self, step: int) -> None:
        self.progress(self.name, step, self.steps)

    def on_step(self, event: StepEvent) -> None:
        speed = event.positions / event.seconds
        loss = "" if event.latest_loss is None else f"loss {event.latest_loss:.3f}, "
        note = f"{event.stage.name}, {loss}{speed:,.0f} tokens/s"
        self.progress(self.name, event.step + 1, self.steps, note)

    def on_end(self) -> None: ...
