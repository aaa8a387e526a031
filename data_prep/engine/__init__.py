"""Stages as independent tasks: what a task is, what proves it done, and where tasks run."""

from data_prep.engine.local import LocalWorkers
from data_prep.engine.receipt import Receipt
from data_prep.engine.run import run_stage
from data_prep.engine.stage import Stage, StageFailed, Task, TaskProgress

__all__ = ["LocalWorkers", "Receipt", "Stage", "StageFailed", "Task", "TaskProgress", "run_stage"]
