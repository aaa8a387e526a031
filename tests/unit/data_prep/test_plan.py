"""The plan of a preparation: what would run, what is done, and for one stage as for all."""

import pytest

from data_prep.graph import run_prep
from data_prep.ingest import Ingest
from data_prep.plan import make_plan
from geo_nemo.config import UserError
from tests.unit.data_prep.test_graph import config_of
from tests.unit.data_prep.worlds import records, write_jsonl


def test_the_plan_writes_nothing_and_tells_what_is_done(tmp_path):
    config = config_of(tmp_path, count=90)
    plan = make_plan(config)
    assert not (tmp_path / "out").exists()
    assert (plan.files, plan.documents, plan.sample.kept) == (1, 90, 1.0)
    ingest = plan.stages[0]
    assert (ingest.name, ingest.tasks, ingest.done) == ("ingest", 1, 0)
    assert plan.stages[-1].tasks is None or plan.stages[-1].done == 0
    run_prep(config)
    again = make_plan(config)
    assert all(stage.tasks == stage.done for stage in again.stages)
    assert again.seconds == 0


def test_the_plan_of_some_stages_is_of_those_alone_and_of_what_stands_before_them(tmp_path):
    config = config_of(tmp_path, count=90)
    whole = make_plan(config)
    some = make_plan(config, ("ingest", "fingerprint"))
    assert [stage.name for stage in some.stages] == ["ingest", "fingerprint"]
    assert some.seconds < whole.seconds and some.documents == whole.documents
    with pytest.raises(UserError, match="is not finished"):
        make_plan(config, ("fingerprint",))
    run_prep(config, only=("ingest",))
    (fingerprint,) = make_plan(config, ("fingerprint",)).stages
    assert (fingerprint.tasks, fingerprint.done) == (1, 0)
    with pytest.raises(UserError, match=r"stage split .* stage fingerprint is not finished"):
        make_plan(config, ("split",))


def test_the_plan_counts_a_file_once_however_many_pieces_it_is_cut_into(tmp_path):
    config = config_of(tmp_path, count=300, files=2, limits={"task_bytes": 20_000})
    assert len(Ingest(config).tasks()) > 4
    assert make_plan(config).files == 2


def test_the_plan_takes_nothing_as_done_that_stands_behind_new_input(tmp_path):
    config = config_of(tmp_path, count=90)
    run_prep(config)
    write_jsonl(tmp_path / "in-1.jsonl", records(120)[90:])
    ingest, *others = make_plan(config).stages
    assert ingest.done < ingest.tasks
    assert [stage.done for stage in others] == [None] * len(others)
