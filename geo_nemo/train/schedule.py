"""The clock of the learning rate: counts steps and sets the rate of the next one."""

from typing import Any

from geo_nemo.config import Run
from geo_nemo.config.rates import learning_rate


class Schedule:
    """Sets learning rate and weight decay of an optimizer's groups, by geo_nemo.config.rates.

    A group's `lr_mult` and `wd_mult` scale them, as Megatron-Core's own scheduler does.
    """

    def __init__(self, optimizer: Any, run: Run):
        self.optimizer = optimizer
        self.run = run
        self.num_steps = 0
        self._set()

    def step(self, steps: int) -> None:
        self.num_steps += steps
        self._set()

    def state_dict(self) -> dict[str, int]:
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.num_steps = int(state["num_steps"])
        self._set()

    def _set(self) -> None:
        rate, decay = learning_rate(self.run, self.num_steps), self.run.train.weight_decay
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_mult", 1.0)
            group["weight_decay"] = decay * group.get("wd_mult", 1.0)
