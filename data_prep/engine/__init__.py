"""Stages as independent tasks: what a task is, what proves it done, and where tasks run."""

from data_prep.engine.receipt import Receipt
from data_prep.engine.run import StageFailed, run_stage
from data_prep.engine.stage import Stage, Task, TaskProgress

__all__ = ["Receipt", "Stage", "StageFailed", "Task", "TaskProgress", "run_stage"]
