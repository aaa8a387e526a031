"""The data module refuses NeMo models whose loss is another, or that cannot read its sequences."""

from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from geo_nemo.config import UserError
from tests.nemo.small import small_run

pytestmark = pytest.mark.skipif(find_spec("nemo") is None, reason="NeMo 2: make test-nemo")


@pytest.mark.parametrize(
    ("per_token", "average", "named"),
    [
        (False, False, "calculate_per_token_loss is False"),
        (True, True, "average_in_collective is True"),
        (True, False, "GPTModel does not read packed sequences"),
    ],
)
def test_a_nemo_model_is_refused_in_one_line(small_store, tmp_path, per_token, average, named):
    from megatron.core.distributed import DistributedDataParallelConfig
    from nemo.collections import llm

    from geo_nemo.integrations.nemo import PackedDataModule

    config = llm.GPTConfig(
        num_layers=2,
        hidden_size=64,
        num_attention_heads=4,
        calculate_per_token_loss=per_token,
    )
    ddp = DistributedDataParallelConfig(average_in_collective=average)
    data = PackedDataModule(small_run(small_store, tmp_path))
    data.trainer = SimpleNamespace(
        lightning_module=llm.GPTModel(config), strategy=SimpleNamespace(ddp_config=ddp)
    )
    with pytest.raises(UserError, match=named) as caught:
        data.setup()
    assert "\n" not in str(caught.value)


def test_settings_of_our_trainer_alone_are_refused(small_store, tmp_path):
    from geo_nemo.integrations.nemo import recipe

    with pytest.raises(UserError, match=r"average\.kind"):
        recipe(small_run(small_store, tmp_path, "average.kind=ema"))
    with pytest.raises(UserError, match="3 processes are no multiple"):
        recipe(small_run(small_store, tmp_path, "parallel.tensor=2"), devices=3)
