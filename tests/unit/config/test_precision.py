"""FP8 and bf16 moments as settings: what goes together, and what is passed to Megatron-Core."""

import pytest
from pydantic import ValidationError

from geo_nemo.config import Precision, Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.precision import FP8
from geo_nemo.model.fp8 import (
    ALIGNMENT,
    check_fp8,
    ddp_fp8,
    fp8_layers,
    optimizer_fp8,
    token_multiple,
    transformer_fp8,
)

VOCABULARY = 128_256
RECIPES = ("delayed", "tensorwise", "blockwise", "mxfp8", "nvfp4")


def named(recipe: str) -> str:
    """Of the group precision."""
    return recipe if recipe == "nvfp4" else f"fp8_{recipe}"


def run(*overrides: str) -> Run:
    return load_config("train", Run, ["output_dir=/r", "data.store=/s", *overrides])


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe_of_each_kind_loads_and_fits_the_model_of_1b(recipe):
    made = run(f"precision={named(recipe)}")
    assert made.precision.fp8.recipe == recipe
    assert made.precision.dtype == "bf16"
    check_fp8(made, VOCABULARY)


@pytest.mark.parametrize("model", ["0.5b", "1b", "3b", "8b"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_models_of_the_recipes_fit_under_every_kind(model, recipe):
    check_fp8(run(f"precision={named(recipe)}", f"model={model}"), VOCABULARY)


def test_without_fp8_nothing_of_it_is_passed_on():
    plain = Precision()
    assert transformer_fp8(plain) == ddp_fp8(plain) == optimizer_fp8(plain) == {}


def test_all_of_it_is_passed_on_under_megatrons_names():
    precision = Precision(
        fp8=FP8(recipe="tensorwise", format="e4m3", first_layers_in_bf16=2, parameters=True)
    )
    assert transformer_fp8(precision) == {
        "fp8": "e4m3",
        "fp8_recipe": "tensorwise",
        "fp8_param": True,
        "fp8_margin": 0,
        "fp8_amax_history_len": 1024,
        "fp8_amax_compute_algo": "max",
        "fp8_dot_product_attention": False,
        "first_last_layers_bf16": True,
        "num_layers_at_start_in_bf16": 2,
        "num_layers_at_end_in_bf16": 0,
    }
    assert ddp_fp8(precision) == {"fp8_param_gather": True}
    assert optimizer_fp8(precision) == {"fp8_recipe": "tensorwise"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_megatrons_config_takes_what_is_passed(recipe):
    import torch

    from geo_nemo.model.build import transformer_settings

    made = run(f"precision={named(recipe)}")
    settings = transformer_settings(
        made.model, made.parallel, made.precision, torch.device("cuda", 0)
    )
    from megatron.core.transformer.transformer_config import TransformerConfig

    config = TransformerConfig(**settings)
    if recipe == "nvfp4":
        assert (config.fp8, config.fp4, config.fp4_recipe) == (None, "e2m1", "nvfp4")
        assert optimizer_fp8(made.precision) == {}
    else:
        assert (config.fp8, config.fp8_recipe) == (made.precision.fp8.format, recipe)
    in_bf16 = made.model.num_layers - fp8_layers(made)
    assert in_bf16 == config.first_last_layers_bf16 * 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"margin": 1}, "margin given, and recipe is none"),
        ({"recipe": "tensorwise", "margin": 1}, "margin is of the recipe delayed alone"),
        ({"recipe": "blockwise", "amax_history_len": 4}, "amax_history_len is of the recipe"),
        ({"recipe": "delayed", "first_layers_in_bf16": 1}, "recipe delayed takes all layers"),
        ({"recipe": "mxfp8", "parameters": True}, "mxfp8 is not supported"),
        ({"recipe": "nvfp4", "parameters": True}, "nvfp4 is not supported"),
        ({"recipe": "nvfp4", "format": "e4m3"}, "nvfp4 has one of its own"),
    ],
)
def test_what_does_not_go_together_is_told(settings, told):
    with pytest.raises(ValidationError, match=told):
        FP8(**settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"fp8": {"recipe": "delayed"}}, "needs dtype=bf16"), ({"moments": "bf16"}, "needs dtype")],
)
def test_in_fp32_there_is_none(settings, told):
    with pytest.raises(ValidationError, match=told):
        Precision(dtype="fp32", **settings)


def test_a_config_as_it_was_saved_is_read_again():
    for recipe in RECIPES:
        made = run(f"precision={named(recipe)}")
        assert Run.model_validate(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["precision.fp8.attention=fp8"], "packed sequences have no attention in FP8"),
        (["model.ffn_hidden_size=5640"], "ffn_hidden_size = 5640 is not a multiple of 16"),
        (["data.seq_length=2040"], "2040 tokens are not a multiple of 16; .*=2048"),
        (
            ["precision.fp8.first_layers_in_bf16=8", "precision.fp8.last_layers_in_bf16=8"],
            "leave none of model.num_layers=16 in FP8",
        ),
        (
            ["precision.fp8.parameters=true", "parallel.distributed_optimizer=false"],
            "needs parallel.distributed_optimizer=true",
        ),
        (
            ["precision.fp8.parameters=true", "average.kind=ema"],
            "an average of weights cannot be put in place of weights in FP8",
        ),
        (
            ["parallel.tensor=32", "model.make_vocab_size_divisible_by=16"],
            "the padded vocabulary = 128256 over parallel.tensor=32 .*divisible_by=512",
        ),
        (
            ["model.num_query_groups=1", "model.num_attention_heads=128", "parallel.tensor=4"],
            "num_query_groups x kv_channels = 16 over parallel.tensor=4",
        ),
        (
            ["parallel.pipeline=16", "precision.fp8.first_layers_in_bf16=2"],
            "more than the 1 layers of a rank",
        ),
    ],
)  # fmt: skip
def test_sizes_and_settings_that_fp8_cannot_take_are_one_line(overrides, told):
    with pytest.raises(UserError, match=told) as error:
        check_fp8(run("precision=fp8_tensorwise", *overrides), VOCABULARY)
    assert "\n" not in str(error.value)


def test_moments_in_bf16_want_the_distributed_optimizer():
    check_fp8(run("precision=bf16_moments"), VOCABULARY)
    with pytest.raises(UserError, match="moments=bf16 needs parallel"):
        check_fp8(run("precision=bf16_moments", "parallel.distributed_optimizer=false"), VOCABULARY)


def test_blocks_ask_for_more_than_cublas_does():
    made = run("precision=fp8_blockwise", "model.ffn_hidden_size=5600")  # 350 x 16
    with pytest.raises(UserError, match="is not a multiple of 128"):
        check_fp8(made, VOCABULARY)


def test_a_rank_of_a_shared_row_is_padded_to_what_the_recipe_asks():
    """The tokens of every context rank, and of every sequence-parallel part of one."""
    import numpy as np

    from geo_nemo.model.context import ContextRank

    made = run(
        "precision=fp8_tensorwise", "parallel.context=2", "parallel.tensor=2",
        "parallel.sequence_parallel=true", "data.seq_length=2040",
    )  # fmt: skip
    check_fp8(made, VOCABULARY)
    multiple = token_multiple(made.precision, made.parallel)
    assert multiple == 2 * ALIGNMENT["tensorwise"]
    for lengths in ([2040], [3, 5, 2032], [1] * 2040):
        borders = np.cumsum([0, *lengths])
        for rank in range(2):
            _, origin = ContextRank(rank, 2, multiple).divide(borders)
            assert len(origin) % multiple == 0
