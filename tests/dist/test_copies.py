"""Two ranks share the copying of checkpoints to and from a bucket, and agree on what failed."""

import json

import pytest

from tests.dist.launch import launch
from tests.support.buckets import new_bucket

pytestmark = pytest.mark.slow

ADDRESS = "s3://news/runs"


@pytest.fixture(scope="module")
def found(tiny_store, s3_server, tmp_path_factory):
    """What each rank found, [rank][scenario], and the names of the objects that are left."""
    folder = tmp_path_factory.mktemp("copies")
    with pytest.MonkeyPatch.context() as patch, new_bucket(s3_server, "news", patch) as bucket:
        launch(2, "tests.dist.copies_worker", tiny_store, folder, ADDRESS)
        names = bucket.names()
    return [json.loads((folder / f"found_{rank}.json").read_text()) for rank in range(2)], names


def test_a_lost_disk_is_made_good_by_both(found):
    for rank in range(2):
        seen = found[0][rank]["lost_disk"]
        assert (seen["step"], seen["same"]) == (6, True)
        assert seen["names"] == seen["fetched"]
        assert {"__0_0.distcp", "__1_0.distcp"} <= set(seen["fetched"])
    lines = [seen["lost_disk"]["lines"] for seen in found[0]]
    told = f"the newest checkpoint is {ADDRESS}/a/step_00000006: it is fetched"
    assert lines == [[told], []]


def test_the_bucket_holds_the_files_of_both(found):
    names = {name.removeprefix("runs/a/step_00000006/") for name in found[1]}
    assert set(found[0][0]["lost_disk"]["names"]) <= names


def test_what_fails_on_one_rank_is_known_to_both_and_told_once(found):
    first, second = (seen["one_rank_fails"] for seen in found[0])
    assert first["said"] == second["said"]
    assert first["said"].startswith("RunError: the run is finished, but ")
    assert (
        "step_00000006 is not copied to s3://news/runs/b: cannot reach it from rank 1"
        in (first["said"])
    )
    assert second["lines"] == []
    assert first["lines"] and all("cannot reach it from rank 1" in li for li in first["lines"])
    assert (first["mended"], second["mended"]) == ("nothing", "nothing")
    assert first["fetch"] == second["fetch"]
    assert first["fetch"].startswith("UserError: cannot reach it from rank 1; the same command")
    assert (first["step"], second["step"]) == (6, 6)


def test_what_is_not_the_same_on_all_ranks_is_said_by_all(found):
    for seen in found[0]:
        assert seen["same"] == "nothing"
        assert seen["other"].startswith(
            "UserError: the store is 0f for rank 0 and 1f for rank 1: it changed while"
        )
