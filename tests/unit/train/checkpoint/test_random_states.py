"""Random states of a process: back under the same layout and device, else left as they are."""

import base64
import json
import random

import numpy as np
import pytest
import torch

from geo_nemo.config import UserError
from geo_nemo.train.checkpoint.random_states import file_name, random_states, restore_random_states

pytestmark = pytest.mark.usefixtures("single_process")


@pytest.fixture
def tracker():
    """Megatron-Core's, with the states that it had before the test."""
    from megatron.core.tensor_parallel import get_cuda_rng_tracker

    found = get_cuda_rng_tracker()
    before = {name: state.clone() for name, state in found.get_states().items()}
    yield found
    found.set_states(before)


def save(tmp_path):
    """The states of this process in a file, as JSON. Inside a test: a plugin may seed before it."""
    (tmp_path / file_name(0)).write_bytes(random_states())
    return json.loads((tmp_path / file_name(0)).read_bytes())


def drawn(tracker):
    with tracker.fork("model-parallel-rng"):
        of_tracker = torch.rand(3).tolist()
    return random.random(), np.random.rand(), torch.rand(3).tolist(), of_tracker


def test_what_is_drawn_is_drawn_again(tracker, tmp_path):
    save(tmp_path)
    first = drawn(tracker)
    assert drawn(tracker) != first
    restore_random_states(tmp_path)
    assert drawn(tracker) == first


def test_under_another_layout_they_are_left_as_they_are(tracker, tmp_path):
    saved = save(tmp_path)
    (tmp_path / file_name(0)).write_text(json.dumps({**saved, "layout": [2, 2, 1, 1]}))
    first = drawn(tracker)
    restore_random_states(tmp_path)
    assert drawn(tracker) != first


def test_a_gpu_s_states_are_none_of_a_cpu_s(tracker, tmp_path):
    """They have 16 bytes: a generator that is given them fails when it is next used."""
    saved = save(tmp_path)
    of_a_gpu = base64.b64encode(bytes(16)).decode()
    states = {**saved, "device": of_a_gpu, "tracker": dict.fromkeys(saved["tracker"], of_a_gpu)}
    (tmp_path / file_name(0)).write_text(json.dumps(states))
    before = {name: state.clone() for name, state in tracker.get_states().items()}
    restore_random_states(tmp_path)
    after = tracker.get_states()
    assert before and all(torch.equal(after[name], state) for name, state in before.items())
    drawn(tracker)


def test_a_file_without_states_is_one_line(tracker, tmp_path):
    (tmp_path / file_name(0)).write_text("{}")
    with pytest.raises(UserError, match="holds no random states"):
        restore_random_states(tmp_path)
    restore_random_states(tmp_path / "none")
