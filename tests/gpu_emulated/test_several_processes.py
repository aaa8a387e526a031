"""Two processes with an emulated device each: messages, and attention to divided sequences."""

import json

import pytest

from tests.dist.launch import torchrun

# Of the norm: inputs, partial outputs and gradients are rounded to bf16 once or twice, by 2^-9 at
# most and a third of that on average each time.
RING = 2 * 2**-8


@pytest.fixture(scope="module")
def told(kernels, tmp_path_factory):
    """What both ranks found."""
    output = tmp_path_factory.mktemp("several")
    torchrun(2, "tests.gpu_emulated.ring_worker", output, timeout=300)
    return [json.loads((output / f"told-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("rank", [0, 1])
def test_messages_arrive(told, rank):
    seen = told[rank]
    assert seen["backend"] == ["nccl"]
    assert seen["added"] == [3.0] * 4
    assert seen["gathered"] == [1.0] * 4 + [2.0] * 4
    assert seen["part"] == [[0.0, 2.0], [4.0, 6.0]][rank]
    assert seen["received"] == [2.0 - rank] * 4
    assert seen["objects"] == [{"rank": 0}, {"rank": 1}]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_tensor_of_the_host_is_refused(told, rank):
    assert "No backend type associated with device type cpu" in told[rank]["of the host"]


@pytest.mark.parametrize("rank", [0, 1])
def test_the_ring_is_attention_to_each_document_alone(told, rank):
    assert set(told[rank]["ring"]) == {"output", "q", "k", "v"}
    assert max(told[rank]["ring"].values()) < RING, told[rank]["ring"]


@pytest.mark.parametrize("rank", [0, 1])
def test_it_is_not_where_the_whole_sequence_is_divided_in_place_of_documents(told, rank):
    """As Megatron-Core 0.19 does with inter_document_masking (docs/design.md)."""
    assert min(told[rank]["of rows"].values()) > 50 * RING


@pytest.mark.parametrize("rank", [0, 1])
def test_borders_are_not_compared_where_it_is_said_that_there_are_no_gaps(told, rank):
    """The host would wait for the device at each; geo_nemo.train.micro_batch says it."""
    unsaid, said = told[rank]["compared"]
    assert unsaid > 0 and said == 0
