"""What users may bring to an evaluation, and what there is of it."""

from typing import Annotated

from pydantic import AfterValidator

from geo_nemo.config.plugins import Kind
from geo_nemo.config.section import PluginName

FILE = "file"
TASKS = Kind("task", "geo_nemo.tasks", {FILE: "eval.question_files:QuestionFile"})
TaskName = Annotated[PluginName, AfterValidator(TASKS.check)]
