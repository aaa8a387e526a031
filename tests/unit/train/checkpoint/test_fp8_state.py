"""State of FP8 in checkpoints: no pickled bytes, the delayed recipe's scales, weights in BF16.

Transformer Engine is not here: what is asked of its layers and tensors is played by small ones that
keep their state as its source (2.9 to 2.12) does.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from megatron.core.dist_checkpointing.mapping import ShardedTensor

from geo_nemo.config import Precision, UserError
from geo_nemo.config.precision import FP8
from geo_nemo.model import initialize as initialize_module
from geo_nemo.model.build import build_model, transformer_config
from geo_nemo.train import engine, masters
from geo_nemo.train.checkpoint import fp8_state
from geo_nemo.train.checkpoint.files import read_record
from geo_nemo.train.checkpoint.fp8_state import (
    delayed_scales,
    in_bf16,
    load_weights,
    restore_scales,
    sharded_weights,
)
from geo_nemo.train.checkpoint.load import precision_note
from geo_nemo.train.fp8_scales import WAYS, scales_kept, scales_of, scales_of_taken_steps
from geo_nemo.train.step import BadStepError
from tests.support.runs import finished, trainer
from tests.support.tiny import VOCAB_SIZE, tiny_run

CPU = torch.device("cpu")


@dataclass
class Scaling:
    """A DelayedScalingRecipeState: a scale and a history for each of n tensors."""

    scale: torch.Tensor
    amax_history: torch.Tensor


@dataclass
class Recipe:
    amax_history_len: int = 4


class DelayedLinear(torch.nn.Linear):
    """Transformer Engine's linear layer, as far as its FP8 state goes."""

    def __init__(self):
        super().__init__(2, 2)
        self.fp8_meta = {}
        self.initialized = 0

    def init_fp8_meta_tensors(self, recipe: Recipe) -> None:
        self.initialized += 1
        for way, count in (("scaling_fwd", 3), ("scaling_bwd", 2)):
            count *= self.fp8_meta["num_gemms"]
            state = Scaling(torch.ones(count), torch.zeros(recipe.amax_history_len, count))
            self.fp8_meta[way] = state

    def get_extra_state(self):
        return torch.tensor([128, 4], dtype=torch.uint8)  # the beginning of a pickle

    def set_extra_state(self, state):
        if state is not None and state.numel():
            raise AssertionError("it unpickles what a checkpoint holds")


class Decoder(torch.nn.Module):
    def __init__(self, first_layer: int):
        super().__init__()
        self.layers = torch.nn.ModuleList()
        for number in (1, 2):
            layer = torch.nn.Module()
            layer.layer_number = first_layer + number
            layer.linear_qkv = DelayedLinear()
            layer.core_attention = DelayedLinear()
            self.layers.append(layer)


def stage(first_layer: int, recipe: Recipe | None = None, seed: int = 0) -> torch.nn.Module:
    """Two layers from `first_layer` on; with a recipe, after some steps of FP8."""
    module = torch.nn.Module()
    module.decoder = Decoder(first_layer)
    generator = torch.Generator().manual_seed(seed)
    for layer in module.decoder.layers:
        for linear in (layer.linear_qkv, layer.core_attention):
            linear.fp8_meta["num_gemms"] = 1
            if recipe is not None:
                linear.init_fp8_meta_tensors(recipe)
                for way in ("scaling_fwd", "scaling_bwd"):
                    state = linear.fp8_meta[way]
                    state.scale.uniform_(1, 400, generator=generator)
                    state.amax_history.uniform_(0, 9, generator=generator)
    return module


def write(folder, number: int, module) -> None:
    np.savez(folder / f"fp8_{number:04d}.npz", **scales_of([module]))


def test_scales_come_back_bit_for_bit_also_under_another_pipeline(tmp_path):
    stages = [stage(0, Recipe(), seed=1), stage(2, Recipe(), seed=2)]
    for number, module in enumerate(stages):
        write(tmp_path, number, module)
    other = stage(1)  # layers 1 and 2 of 0 to 3: one of each stage
    assert restore_scales([other], tmp_path, Recipe()) == 2
    for place, source in ((0, stages[0].decoder.layers[1]), (1, stages[1].decoder.layers[0])):
        found = other.decoder.layers[place].linear_qkv.fp8_meta
        for way in ("scaling_fwd", "scaling_bwd"):
            expected = source.linear_qkv.fp8_meta[way]
            assert torch.equal(found[way].scale, expected.scale)
            assert torch.equal(found[way].amax_history, expected.amax_history)
    assert other.decoder.layers[0].core_attention.initialized == 0


def test_what_a_look_writes_into_scales_is_taken_back():
    trained, new = stage(0, Recipe()), stage(2)
    before = scales_of([trained])
    with pytest.raises(KeyboardInterrupt), scales_kept([trained, new]):
        for layer in (*trained.decoder.layers, *new.decoder.layers):
            if not layer.linear_qkv.initialized:
                layer.linear_qkv.init_fp8_meta_tensors(Recipe())
            for state in (layer.linear_qkv.fp8_meta[way] for way in WAYS):
                state.scale.fill_(5)
                state.amax_history[0] = 900
        raise KeyboardInterrupt
    after = scales_of([trained, new])
    assert all((after[name] == value).all() for name, value in before.items())
    made = {name: value for name, value in after.items() if name not in before}
    assert len(made) == len(before) == 8
    assert all((value == name.endswith("scale")).all() for name, value in made.items())


def test_a_step_that_is_refused_leaves_no_value_in_the_histories():
    """One that is not finite would keep the scales as they are until it is out of them."""
    trained = stage(0, Recipe())
    before = scales_of([trained])
    history = trained.decoder.layers[0].linear_qkv.fp8_meta[WAYS[0]].amax_history
    with pytest.raises(BadStepError), scales_of_taken_steps([trained]):
        history[0] = torch.inf
        raise BadStepError("the loss is not finite")
    assert all((scales_of([trained])[name] == value).all() for name, value in before.items())
    with scales_of_taken_steps([trained]):
        history[0] = 5
    assert (history[0] == 5).all()


def test_a_step_is_refused_so_under_the_delayed_recipe(
    tiny_store, tmp_path, single_process, monkeypatch
):
    made = trainer(tiny_run(tiny_store, tmp_path))
    asked = []
    monkeypatch.setattr(
        engine, "scales_of_taken_steps", lambda of: asked.append(of) or nullcontext()
    )
    batches = next(made.batches(made.prepared.stages[0]))
    made.engine._follows_scales = True
    made.engine.train_step(batches, 0, None)
    assert asked == []
    made.engine.train_step(batches, 0)
    assert asked == [made.engine.modules]


@pytest.mark.parametrize("length", [2, 7])
def test_a_history_of_another_length_is_cut_or_filled_with_zeros(tmp_path, length):
    before = stage(0, Recipe(4))
    write(tmp_path, 0, before)
    after = stage(0)
    restore_scales([after], tmp_path, Recipe(length))
    old = before.decoder.layers[0].linear_qkv.fp8_meta["scaling_fwd"].amax_history
    new = after.decoder.layers[0].linear_qkv.fp8_meta["scaling_fwd"].amax_history
    assert new.shape == (length, 3)
    assert torch.equal(new[:4], old[:length])
    assert not new[4:].any()


def test_from_bf16_a_run_begins_its_scales_anew(tmp_path):
    module = stage(0)
    assert restore_scales([module], tmp_path, Recipe()) == 0
    assert module.decoder.layers[0].linear_qkv.initialized == 0


def test_a_file_of_scales_with_a_pickle_is_not_loaded(tmp_path):
    np.savez(tmp_path / "fp8_0000.npz", **{"a.scale": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(UserError, match=r"cannot read the FP8 scales in .*fp8_0000\.npz: Object"):
        restore_scales([stage(0)], tmp_path, Recipe())


def test_a_run_without_fp8_writes_no_scales_and_its_checkpoint_lists_none(
    tiny_store, tmp_path, single_process
):
    finished(tiny_store, tmp_path)
    checkpoint = tmp_path / "checkpoints" / "step_00000006"
    assert not [name for name in read_record(checkpoint)["files"] if name.startswith("fp8_")]
    assert delayed_scales([stage(0)]) == {}
    assert list(delayed_scales([stage(0, Recipe())])) == ["fp8_0000.npz"]


def test_pickled_bytes_are_saved_empty_and_never_asked_for(single_process):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = DelayedLinear()

        def sharded_state_dict(self):
            from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint

            return make_sharded_tensors_for_checkpoint(self.state_dict(keep_vars=True), "")

    model = Model()
    assert model.sharded_state_dict()["layer._extra_state"].data.numel() == 2
    saved = sharded_weights(model, is_loading=False)
    assert saved["layer._extra_state"].data is None
    wanted = sharded_weights(model, is_loading=True)
    assert set(wanted) == {"layer.weight", "layer.bias"}
    load_weights(model, {"layer.weight": torch.ones(2, 2), "layer.bias": torch.zeros(2)})
    assert (model.layer.weight == 1).all()


@pytest.mark.parametrize(
    "state",
    [{"weight": torch.ones(2, 2)},
     {"weight": torch.ones(2, 2), "bias": torch.ones(2), "other": torch.ones(2)}],
)  # fmt: skip
def test_a_weight_that_is_missing_or_too_many_is_told(state):
    with pytest.raises(UserError, match=r"does not have the model's weights: (bias|other)"):
        load_weights(torch.nn.Linear(2, 2), state)


class Quantized(torch.Tensor):
    """A weight in FP8: its values rounded, no parts of it to be written, no flat storage."""

    writes = 0

    def dequantize(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor).detach().clone()

    def get_high_precision_init_val(self) -> torch.Tensor:
        return self.high_precision

    def copy_(self, source):
        type(self).writes += 1
        return super().copy_(source)

    def chunk(self, *args, **kwargs):
        raise AssertionError("a part of a weight in FP8 is a copy")

    split = __getitem__ = narrow = view = chunk


@pytest.fixture
def fp8_weights(monkeypatch):
    """The name by which each module here asks whether a tensor is in FP8."""
    for module in (initialize_module, fp8_state, masters):
        monkeypatch.setattr(module, "is_float8tensor", lambda t: isinstance(t, Quantized))


def gate_and_up(data: torch.Tensor):
    """The weight of gate and up as Megatron-Core shards it: two halves of one tensor."""
    from megatron.core.transformer.mlp import apply_swiglu_sharded_factory

    whole = ShardedTensor.from_rank_offsets("mlp.linear_fc1.weight", data, replica_id=(0, 0, 0))
    return apply_swiglu_sharded_factory(whole, ())


def test_initial_weights_in_fp8_are_those_of_bf16_and_the_optimizer_sees_them(
    fp8_weights, single_process
):
    model = tiny_run("store", "out").model
    plain = torch.zeros(8, 4)
    quantized = torch.zeros(8, 4).as_subclass(Quantized)
    quantized.high_precision = torch.zeros(8, 4)
    for data in (plain, quantized):
        module = SimpleNamespace(sharded_state_dict=lambda data=data: {"w": gate_and_up(data)})
        initialize_module.initialize(module, model, seed=3)
    assert plain.any()
    assert torch.equal(quantized.as_subclass(torch.Tensor), plain)
    assert torch.equal(quantized.high_precision, plain)
    assert Quantized.writes == 1


def test_weights_in_fp8_are_saved_in_their_wider_type(fp8_weights):
    values = torch.randn(8, 4)
    saved = in_bf16({"w": gate_and_up(values.clone().as_subclass(Quantized)), "other": "kept"})
    assert type(saved["w"].data) is torch.Tensor
    assert torch.equal(saved["w"].data, values)
    assert saved["other"] == "kept"


def test_the_optimizers_part_of_a_weight_in_fp8_has_the_places_of_one_in_bf16(fp8_weights):
    values, part = torch.randn(8, 4), torch.arange(13.0)
    boxes = [
        list(masters.boxes_of(gate_and_up(data), "state", part, 9))
        for data in (values, values.clone().as_subclass(Quantized))
    ]
    places = [[(box.key, box.global_offset, box.data.tolist()) for box in found] for found in boxes]
    assert len(places[0]) > 1
    assert places[0] == places[1]


@dataclass
class Adam:
    """Transformer Engine's FusedAdam: it wants to be told of remainders."""

    param_groups: list
    state: dict = field(default_factory=dict)

    def initialize_state(self, parameter, store_param_remainders):
        assert not store_param_remainders
        self.state[parameter] = {"exp_avg": torch.zeros_like(parameter, dtype=torch.bfloat16)}


def test_moments_are_begun_once_before_megatron_would():
    from collections import defaultdict

    from geo_nemo.train.parts import begin_moments

    old, new = torch.ones(2), torch.ones(3)
    adam = Adam([{"params": [old]}, {"params": [new]}], defaultdict(dict))
    adam.state[old] = {"exp_avg": "its own"}
    begin_moments(adam)
    assert adam.state[old] == {"exp_avg": "its own"}
    assert adam.state[new]["exp_avg"].dtype == torch.bfloat16


def test_an_engine_on_a_cpu_refuses_fp8(tiny_store, tmp_path, single_process):
    run = tiny_run(tiny_store, tmp_path, precision=Precision(fp8=FP8(recipe="tensorwise")))
    with pytest.raises(UserError, match="recipe=tensorwise needs a GPU"):
        trainer(run.model_copy(update={"model": run.model.model_copy(
            update={"ffn_hidden_size": 128})}))  # fmt: skip


def test_megatron_would_not_have_refused_it(single_process):
    """Why the check is ours: the model is built, in BF16, without a word."""
    run = tiny_run("store", "out")
    config = transformer_config(
        run.model, run.parallel, Precision(fp8=FP8(recipe="tensorwise")), CPU
    )
    built = build_model(run.model, config, VOCAB_SIZE, 128, CPU, seed=1)
    assert {weight.dtype for weight in built.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("saved", "now", "told"),
    [
        ({}, Precision(), ""),
        ({"precision": {"dtype": "bf16"}}, Precision(), ""),
        (
            {"precision": {"dtype": "bf16"}},
            Precision(fp8=FP8(recipe="delayed")),
            "BF16 before, FP8 (delayed) from here",
        ),
        (
            {"precision": {"fp8": {"recipe": "tensorwise"}, "moments": "bf16"}},
            Precision(),
            "FP8 (tensorwise) before, BF16 from here; moments in bf16 before, in fp32 from here",
        ),
    ],
)
def test_a_change_of_precision_at_resume_is_noted(saved, now, told):
    assert precision_note(saved, now) == told
