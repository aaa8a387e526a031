"""Modules of a model that an adapter may change, by their last name; needs no PEFT."""

from typing import Any

from geo_nemo.config import UserError
from geo_nemo.config.tune import Lora
from geo_nemo.export.loaded import Folder


def check_targets(lora: Lora, folder: Folder) -> None:
    """Raise `UserError` for a target that the model of a folder does not have; reads no weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder.base, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        targets_of(lora, AutoModelForCausalLM.from_config(config, trust_remote_code=False))


def targets_of(lora: Lora, model: Any) -> str | list[str]:
    """As PEFT takes them; `UserError` for one that the model does not have."""
    import torch
    from transformers.pytorch_utils import Conv1D  # GPT-2's linears

    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and module is not model.get_output_embeddings()
    }
    if lora.targets == "all-linear":
        return lora.targets
    if missing := sorted(set(lora.targets) - linear):
        raise UserError(
            f"lora.targets names {missing[0]}, which the model does not have: there is "
            f"{', '.join(sorted(linear))}, or all-linear"
        )
    return list(lora.targets)
