"""Every rule of a parallel layout, by its message; and layouts that fit."""

from pathlib import Path

import pytest

from geo_nemo.config import Parallel, Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.model.layout import check_layout
from tests.support.tiny import tiny_run

RECIPE_FOLDER = Path(__file__).parents[3] / "recipes" / "parallel"
VOCAB_SIZE = 640
# The whole model: 12 heads in 4 groups, 6 layers, ffn of 96, 640 tokens padded to 640; rows of 128
# tokens, 8 rows a step in micro-batches of 2.
SHAPE = {"num_layers": 6, "hidden_size": 48, "num_attention_heads": 12, "num_query_groups": 4}


def run_of(model=(), data=(), train=(), **parallel):
    base = tiny_run("store", "out")
    changed = {
        "model": base.model.model_copy(update={**SHAPE, "ffn_hidden_size": 96, **dict(model)}),
        "data": base.data.model_copy(update=dict(data)),
        "train": base.train.model_copy(update=dict(train)),
        "parallel": Parallel(**parallel),
    }
    return base.model_copy(update=changed)


BAD = {
    "heads": (
        run_of(tensor=8),
        8,
        "model.num_attention_heads: 12 is not a multiple of parallel.tensor=8; choose a tensor "
        "size that divides it, such as 4",
    ),
    "groups": (
        run_of(tensor=6),
        6,
        "model.num_query_groups: 4 is not a multiple of parallel.tensor=6; choose a tensor size "
        "that divides it, such as 2",
    ),
    "ffn": (
        run_of(model={"ffn_hidden_size": 98}, tensor=4),
        4,
        "model.ffn_hidden_size: 98 is not a multiple of parallel.tensor=4; choose a tensor size "
        "that divides it, such as 2",
    ),
    "vocabulary": (
        run_of(model={"make_vocab_size_divisible_by": 5}, tensor=4),
        4,
        "model: vocabulary 642 padded to 645: 645 is not a multiple of parallel.tensor=4; set "
        "model.make_vocab_size_divisible_by=20, for a run that has no checkpoint yet",
    ),
    "layers": (
        run_of(pipeline=4),
        4,
        "model.num_layers=6 is not a multiple of parallel.pipeline=4; choose a pipeline size that "
        "divides it, such as 2",
    ),
    "chunks without a pipeline": (
        run_of(virtual_pipeline=2),
        1,
        "parallel.virtual_pipeline=2 needs parallel.pipeline above 1; set "
        "parallel.virtual_pipeline=1",
    ),
    "chunks": (
        run_of(pipeline=2, virtual_pipeline=2),
        2,
        "model.num_layers=6: the 3 layers of a pipeline rank do not divide into "
        "parallel.virtual_pipeline=2 chunks; choose a number that divides 3, such as 1",
    ),
    "sequence parallel of one": (
        run_of(sequence_parallel=True),
        1,
        "parallel.sequence_parallel needs parallel.tensor above 1; set "
        "parallel.sequence_parallel=false",
    ),
    "sequence by tensor": (
        run_of(data={"seq_length": 127}, train={"micro_batch_size": 1}, tensor=2).model_copy(
            update={"parallel": Parallel(tensor=2, sequence_parallel=True)}
        ),
        2,
        "data.seq_length=127 x train.micro_batch_size=1 = 127 tokens are not a multiple of "
        "parallel.tensor=2, as parallel.sequence_parallel needs; choose data.seq_length=128",
    ),
    "context": (
        run_of(data={"seq_length": 7}, context=4),
        4,
        "parallel.context=4: data.seq_length=7 has less than two tokens a rank; choose 3 or less",
    ),
    "gather": (
        run_of(overlap_param_gather=True, distributed_optimizer=False),
        1,
        "parallel.overlap_param_gather needs parallel.distributed_optimizer=true",
    ),
    "gather without reduce": (
        run_of(overlap_param_gather=True),
        1,
        "parallel.overlap_param_gather needs parallel.overlap_grad_reduce=true",
    ),
    "processes": (
        run_of(tensor=2, pipeline=2),
        6,
        "parallel.tensor=2 x parallel.pipeline=2 needs a multiple of 4 processes, and this job has "
        "6: give it 4, as by torchrun --nproc-per-node 4, or another layout",
    ),
    "processes with context": (
        run_of(tensor=2, context=2),
        2,
        "parallel.tensor=2 x parallel.pipeline=1 x parallel.context=2 needs a multiple of 4 "
        "processes, and this job has 2: give it 4, as by torchrun --nproc-per-node 4, or another "
        "layout",
    ),
    "batch": (
        run_of(),
        8,
        "train.global_batch_size=8 is not a multiple of train.micro_batch_size=2 x 8 data-parallel "
        "ranks = 16; choose a multiple of 16",
    ),
    "interleaved batch": (
        run_of(train={"global_batch_size": 12}, pipeline=2, virtual_pipeline=3),
        4,
        "parallel.virtual_pipeline=3 takes micro-batches in groups of parallel.pipeline=2, and "
        "train.global_batch_size=12 gives 3 a rank; choose a multiple of 8, or a smaller "
        "train.micro_batch_size",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_layout_that_cannot_be_is_refused_with_what_would_mend_it(name):
    run, world_size, message = BAD[name]
    with pytest.raises(UserError) as told:
        check_layout(run, 642 if name == "vocabulary" else VOCAB_SIZE, world_size)
    assert str(told.value) == message


# name: (run, processes, data-parallel size, micro-batches, layers of a chunk)
GOOD = {
    "one process": (run_of(), 1, 1, 4, 6),
    "data parallel": (run_of(), 4, 4, 1, 6),
    "sequence parallel": (run_of(tensor=2, sequence_parallel=True), 2, 1, 4, 6),
    "tensor by pipeline": (run_of(tensor=4, pipeline=3), 12, 1, 4, 2),
    "interleaved": (run_of(pipeline=2, virtual_pipeline=3), 2, 1, 4, 1),
    "context by data": (run_of(context=2), 4, 2, 2, 6),
    "context pads what sequence parallelism needs": (
        run_of(data={"seq_length": 127}, tensor=2, context=2, sequence_parallel=True),
        4,
        1,
        4,
        6,
    ),
    "overlap": (run_of(overlap_grad_reduce=True, overlap_param_gather=True), 2, 2, 2, 6),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_layout_that_fits_is_taken(name):
    run, world_size, data, micro_batches, layers = GOOD[name]
    layout = check_layout(run, VOCAB_SIZE, world_size)
    assert (layout.data, layout.micro_batches, layout.layers) == (data, micro_batches, layers)


@pytest.mark.parametrize(
    ("chunks", "bubble"),
    [
        # 4 micro-batches on 2 ranks: one of 5 slots is waited; with 3 chunks a third of a slot.
        (1, "20.0%"),
        (3, "7.7%"),
    ],
)
def test_the_bubble_of_a_pipeline_shrinks_with_its_chunks(chunks, bubble):
    layout = check_layout(run_of(pipeline=2, virtual_pipeline=chunks), VOCAB_SIZE, 2)
    assert ("pipeline bubble", bubble) in layout.rows()


# Recipe: processes that the 1B model can be started with.
RECIPES = {"single": 8, "overlap": 8, "tensor": 8, "context": 8, "pipeline": 32}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_the_1b_model(name):
    settings = ["data.store=store", "output_dir=out", f"parallel={name}"]
    run = load_config("train", Run, settings)
    assert check_layout(run, 128_256, RECIPES[name]).micro_batches >= 64


def test_every_recipe_of_a_layout_is_tried():
    assert {path.stem for path in RECIPE_FOLDER.glob("*.yaml")} == set(RECIPES)
