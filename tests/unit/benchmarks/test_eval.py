"""`benchmarks eval`: what --quick leaves out, and the folder of models and questions."""

import json

import numpy as np
import pytest

from benchmarks.eval import world

TINY = world.Shape("tiny", 16, 1, 2, 32, 300, documents=3, questions=2)


def test_quick_has_the_small_model_and_few_texts():
    (quick,) = world.shapes(quick=True)
    small, large = world.shapes(quick=False)
    assert (quick.name, quick.hidden) == (small.name, small.hidden) != (large.name, large.hidden)
    assert 6 * quick.questions <= small.questions and 4 * quick.documents <= small.documents


def test_what_was_cut_short_is_made_anew_and_other_numbers_have_a_folder_of_their_own(
    tmp_path, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(world, "_questions", killed)
        with pytest.raises(KeyboardInterrupt):
            world.make(tmp_path, TINY)
    (tmp_path / "tiny-3-2.partial").mkdir()  # as a kill leaves it
    made = world.make(tmp_path, TINY)
    asked = json.loads((made / "questions.json").read_text())
    assert {shots: len(each) for shots, each in asked.items()} == {"0": 2, "5": 2}
    assert len(np.load(made / "documents.npz")["lengths"]) == 3
    assert world.make(tmp_path, TINY) == made
    other = world.make(tmp_path, world.replace(TINY, questions=1))
    assert other != made and len(json.loads((other / "questions.json").read_text())["0"]) == 1
