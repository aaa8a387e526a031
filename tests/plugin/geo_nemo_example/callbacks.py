"""A callback: ends a run whose loss has been low for a while."""

from geo_nemo.train.callback import Verdict


class LossTarget:
    """below: the loss. steps: in a row, over stops of the run."""

    def __init__(self, context, below=2.0, steps=100):
        self.context, self.below, self.steps = context, below, steps
        self.reached = 0

    def on_start(self, step): ...

    def on_step(self, event):
        self.reached = self.reached + 1 if event.report.loss < self.below else 0
        self.context.log({"loss_target/steps": self.reached})
        if self.reached == self.steps:
            return Verdict("stop", f"the loss was below {self.below} for {self.steps} steps")

    def on_end(self): ...

    def state_dict(self):
        return {"reached": self.reached}

    def load_state_dict(self, state):
        self.reached = state.get("reached", 0)
