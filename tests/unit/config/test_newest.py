"""New policies have the ids of whole texts; a run that is there goes on as it began."""

import json

import pytest

from geo_nemo.config import Run
from geo_nemo.config.load import load_config

SETTINGS = ["experiment=localization/1b_global_with", "data.store=/s"]


def cuts(*settings) -> dict[str, str]:
    run = load_config("train", Run, [*SETTINGS, *settings])
    return {name: stage.metadata.cut for name, stage in run.stages.items()}


def began(folder, **cut):
    """The record of a run with these policies; None: of a version that did not tell."""
    policies = {
        name: {"fields": ["url"], **({} if value is None else {"cut": value})}
        for name, value in cut.items()
    }
    stages = {name: {"metadata": policy} for name, policy in policies.items()}
    (folder / "run.json").write_text(json.dumps({"config": {"stages": stages}}))


def test_a_new_run_is_cut_the_newest_way(tmp_path):
    assert cuts(f"output_dir={tmp_path}") == {"condition": "whole", "cooldown": "whole"}


def test_what_is_spelled_out_is_taken(tmp_path):
    found = cuts(f"output_dir={tmp_path}", "stages.condition.metadata.cut=parts")
    assert found == {"condition": "parts", "cooldown": "whole"}


def test_a_run_goes_on_as_it_began(tmp_path):
    began(tmp_path, condition=None, cooldown="whole")
    assert cuts(f"output_dir={tmp_path}") == {"condition": "parts", "cooldown": "whole"}
    assert cuts(f"output_dir={tmp_path}/b") == {"condition": "whole", "cooldown": "whole"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": {"stages": {"condition": 1}}}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    assert cuts(f"output_dir={tmp_path}") == {"condition": "whole", "cooldown": "whole"}


def test_a_whole_config_says_what_it_says(tmp_path):
    run = load_config("train", Run, [*SETTINGS, f"output_dir={tmp_path}"])
    record = run.model_dump(mode="json")
    for stage in record["stages"].values():
        del stage["metadata"]["cut"]
    (tmp_path / "old.json").write_text(json.dumps(record))
    (tmp_path / "new.json").write_text(run.model_dump_json())
    for name, cut in (("old", "parts"), ("new", "whole")):
        found = load_config(str(tmp_path / f"{name}.json"), Run)
        assert {stage.metadata.cut for stage in found.stages.values()} == {cut}
