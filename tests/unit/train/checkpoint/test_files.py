"""Which checkpoints go, of folders with real records."""

import math

from geo_nemo.train.checkpoint.files import to_drop, write_record


def test_a_score_that_is_no_number_keeps_nothing(tmp_path):
    """It compares with none: in a sorted list it would stand before the lowest loss."""
    for number, score in enumerate((math.nan, 2.0, 1.0, math.inf, math.nan, None), 1):
        folder = tmp_path / f"step_{number:08d}"
        folder.mkdir()
        write_record(folder, {"step": number, "score": score}, {})
    newest = tmp_path / "step_00000006"
    gone = to_drop(tmp_path, newest, keep_last=1, keep_best=1)
    assert [path.name[-1] for path in gone] == ["1", "2", "4", "5"]
    gone = to_drop(tmp_path, newest, keep_last=1, keep_best=3)
    assert [path.name[-1] for path in gone] == ["1", "5"]
