"""What a rank saves of the optimizer: its own part of each parameter, in the parameter's shape."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.train.checkpoint.state import sharded_state
from geo_nemo.train.masters import boxes
from tests.support.runs import finished

SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)


@given(SHAPES, st.data())
def test_the_boxes_of_a_run_hold_its_positions_in_order_and_are_few(shape, data):
    size = math.prod(shape)
    low = data.draw(st.integers(0, size - 1))
    high = data.draw(st.integers(low + 1, size))
    array = np.arange(size).reshape(shape)
    found = list(boxes(shape, low, high))
    held = [
        array[tuple(slice(o, o + n) for o, n in zip(offset, part, strict=True))].ravel()
        for offset, part in found
    ]
    assert np.concatenate(held).tolist() == list(range(low, high))
    assert len(found) <= max(1, 2 * len(shape) - 1)


def test_a_matrix_is_cut_into_the_rest_of_a_row_whole_rows_and_a_start():
    assert list(boxes((4, 10), 7, 32)) == [
        ((0, 7), (1, 3)),
        ((1, 0), (2, 10)),
        ((3, 0), (1, 2)),
    ]


def test_it_is_what_megatron_core_gathers_without_a_copy(tiny_store, tmp_path, single_process):
    engine = finished(tiny_store, tmp_path).engine
    ours = by_place(sharded_state(engine, is_loading=False)["optimizer"]["param_state"])
    model = {"model": engine.module.sharded_state_dict()}
    gathered = engine.optimizer.sharded_state_dict(
        model, metadata={"distrib_optim_sharding_type": "fully_reshardable"}
    )
    theirs = by_place(gathered["param_state"])
    assert ours.keys() == theirs.keys()
    for place, tensor in theirs.items():
        assert torch.equal(ours[place].view_as(tensor), tensor), place
    storages = {
        tensor.untyped_storage().data_ptr()
        for inner in engine.optimizer.chained_optimizers
        for state in inner.optimizer.state.values()
        for tensor in (state["exp_avg"], state["exp_avg_sq"])
    }
    moments = [ours[place] for place in ours if ".exp_avg" in place[0]]
    assert moments
    assert {tensor.untyped_storage().data_ptr() for tensor in moments} <= storages


def by_place(state: dict) -> dict[tuple, torch.Tensor]:
    """Tensors by name and offset in the whole."""
    from megatron.core.dist_checkpointing.dict_utils import nested_values
    from megatron.core.dist_checkpointing.mapping import apply_factories

    state = {"state": state}
    apply_factories(state)
    return {(each.key, tuple(each.global_offset)): each.data for each in nested_values(state)}


def test_what_a_save_has_twice_is_copied_once_and_anew_in_the_next_save():
    from geo_nemo.train.checkpoint.staging import Staging

    weight, staging = torch.ones(4, 3), Staging()
    staging.begin()
    first, again = staging.copy("model", weight), staging.copy("optimizer", weight.detach())
    turned = staging.copy("turned", weight.t())
    assert first is again and torch.equal(first, weight)
    assert turned is not first and turned.shape == (3, 4)
    weight.fill_(2.0)
    assert torch.equal(first, torch.ones(4, 3))
    staging.begin()
    assert staging.copy("optimizer", weight).tolist() == weight.tolist()
    assert staging.copy("model", weight).tolist() == weight.tolist()
