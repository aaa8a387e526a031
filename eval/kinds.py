"""What users may bring to an evaluation, and what there is of it."""

from typing import Annotated

from pydantic import AfterValidator

from geo_nemo.config.plugins import Kind
from geo_nemo.config.section import PluginName

FILE = "file"
# Released schemas of geographic benchmarks, each a task of its own.
BENCHMARKS = {
    "global_mmlu": "eval.atlas.benchmarks:GlobalMmlu",
    "blend": "eval.atlas.benchmarks:Blend",
    "culturalbench": "eval.atlas.benchmarks:CulturalBench",
    "include": "eval.atlas.benchmarks:Include",
    "geomlama": "eval.atlas.benchmarks:GeoMlama",
    "globalopinionqa": "eval.atlas.benchmarks:GlobalOpinionQa",
    "localnewsqa": "eval.atlas.benchmarks:LocalNewsQa",
    "factbook": "eval.atlas.factbook:Factbook",
}
TASKS = Kind(
    "task",
    "geo_nemo.tasks",
    {FILE: "eval.question_files:QuestionFile", **BENCHMARKS},
    methods=("rows",),
)
TaskName = Annotated[PluginName, AfterValidator(TASKS.check)]
