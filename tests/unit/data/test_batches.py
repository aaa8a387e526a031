"""Batches: one global order for every layout, exact resume, errors that surface."""

import threading

import numpy as np
import pytest

from geo_nemo.config import UserError
from geo_nemo.data.batches import Batch, BatchStream, stack_sequences
from tests.unit.data.fakes import random_documents
from tests.unit.data.test_dataset import POLICIES, dataset
from tests.unit.data.test_sequences import FIRST, SECOND, build_sequence


def sequences(samples=26, **changes):
    return dataset(random_documents(1, 40), POLICIES["dropout"], samples=samples, **changes)


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x, y)
        for left, right in zip(a, b, strict=True)
        for x, y in zip(vars(left).values(), vars(right).values(), strict=True)
    )


def test_golden_batch_of_two_sequences():
    one = build_sequence([FIRST], [4], length=8, pad_id=9, mask_loss=True)
    two = build_sequence([SECOND], [0], length=8, pad_id=9, mask_loss=True)
    batch = stack_sequences([one, two], [10, 11])
    assert batch.tokens.tolist() == [[1, 20, 21, 30, 40, 31, 50, 9], [1, 22, 21, 31, 60, 9, 9, 9]]
    assert batch.cu_seqlens.tolist() == [0, 7, 8, 13, 16]
    assert batch.cu_seqlens.dtype == np.int32
    assert batch.max_seqlen == 7
    assert batch.sample_ids.tolist() == [10, 11]
    assert batch.loss_mask.shape == (2, 8)


@pytest.mark.parametrize("micro_batch_size", [1, 3, 8])
def test_a_step_s_micro_batches_are_its_sequences_stacked(micro_batch_size):
    data = sequences()
    (step,) = BatchStream(data, 24, micro_batch_size, 0, 1, prefetch=0)
    ids = [list(range(i, i + micro_batch_size)) for i in range(0, 24, micro_batch_size)]
    assert equal(step, [stack_sequences([data[i] for i in some], some) for some in ids])


@pytest.mark.parametrize("prefetch", [0, 2])
def test_samples_of_each_rank_and_micro_batch(prefetch):
    data = sequences()
    ids = [
        [
            [b.sample_ids.tolist() for b in step]
            for step in BatchStream(data, 8, 2, r, 2, 0, prefetch)
        ]
        for r in range(2)
    ]
    assert ids[0] == [[[0, 1], [4, 5]], [[8, 9], [12, 13]], [[16, 17], [20, 21]]]
    assert ids[1] == [[[2, 3], [6, 7]], [[10, 11], [14, 15]], [[18, 19], [22, 23]]]


@pytest.mark.parametrize("dp_size", [1, 2, 4])
def test_the_global_order_does_not_depend_on_the_number_of_ranks(dp_size):
    data = sequences()
    streams = [BatchStream(sequences(), 8, 2, rank, dp_size) for rank in range(dp_size)]
    for number, steps in enumerate(zip(*streams, strict=True)):
        micro_batches = [batch for together in zip(*steps, strict=True) for batch in together]
        tokens = np.concatenate([batch.tokens for batch in micro_batches])
        expected = np.stack([data[number * 8 + i].tokens for i in range(8)])
        assert np.array_equal(tokens, expected)


@pytest.mark.parametrize("stop", [0, 1, 2, 5])
def test_a_resumed_stream_continues_bit_for_bit(stop):
    whole = list(BatchStream(sequences(samples=48), 8, 4, 0, 1))
    stream = BatchStream(sequences(samples=48), 8, 4, 0, 1)
    for _ in range(stop):
        next(stream)
    state = stream.state_dict()
    resumed = BatchStream(sequences(samples=48), 8, 4, 0, 1)
    next(resumed)  # a stream that has already run takes the state as well
    resumed.load_state_dict(state)
    rest = list(resumed)
    assert len(rest) == 6 - stop
    assert all(equal(a, b) for a, b in zip(whole[stop:], rest, strict=True))
    started = BatchStream(sequences(samples=48), 8, 4, 0, 1, consumed_samples=stop * 8)
    assert equal(next(started), whole[stop])


def test_state_counts_what_was_handed_out_and_survives_json():
    import json

    stream = BatchStream(sequences(), 8, 2, 0, 1)
    next(stream)
    state = json.loads(json.dumps(stream.state_dict()))
    assert state["consumed_samples"] == 8
    stream.load_state_dict(state)
    assert next(stream)[0].sample_ids.tolist() == [8, 9]


def test_resume_on_other_data_names_what_changed():
    state = BatchStream(sequences(), 8, 2, 0, 1).state_dict()
    other = BatchStream(sequences(seq_length=64), 8, 2, 0, 1)
    with pytest.raises(UserError, match="seq_length was 48 and is 64"):
        other.load_state_dict(state)


def test_batch_sizes_that_do_not_divide_are_a_users_mistake():
    with pytest.raises(UserError, match="global_batch_size 8 is not a multiple"):
        BatchStream(sequences(), 8, 3, 0, 1)


class Broken:
    """Sequences of which the fifth cannot be read."""

    def __init__(self):
        self._sequences = sequences()

    def __len__(self):
        return len(self._sequences)

    def block(self, samples):
        if 4 in samples:
            raise OSError("disk gone")
        return self._sequences.block(samples)

    def fingerprint(self):
        return {}


def test_an_error_in_the_background_is_raised_where_the_batch_is_asked_for_and_again():
    stream = BatchStream(Broken(), 2, 1, 0, 1)
    next(stream)
    next(stream)
    for _ in range(2):
        with pytest.raises(OSError, match="disk gone"):
            next(stream)
    assert stream.consumed_samples == 4


def test_no_thread_is_left_behind():
    def threads():
        return [t for t in threading.enumerate() if t.name == "batches"]

    stream = BatchStream(sequences(), 2, 1, 0, 1)
    next(stream)
    assert len(threads()) == 1
    stream.close()
    assert threads() == []
    next(stream)
    del stream
    assert threads() == []
