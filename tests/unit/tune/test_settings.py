"""Settings of a tuning that no tuning can have, before anything is read."""

import pytest

from geo_nemo.config import UserError
from geo_nemo.config.tune import load_tune


@pytest.mark.parametrize(
    "setting",
    ["lora.targets=[]", "lora.rank=99999999999", "epochs=1e30", "lora.rank=0"],
)
def test_what_no_tuning_can_have_is_one_line(setting):
    with pytest.raises(UserError, match=f"tune: {setting.partition('=')[0]}"):
        load_tune("tune", "m", ("data=a.jsonl", "output=o", setting))
