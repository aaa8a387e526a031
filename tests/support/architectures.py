"""Small random models of each architecture that is read, in folders that transformers writes."""

import json

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from geo_nemo.store import TokenStore
from tests.support.tiny import VOCAB_SIZE

SIZES = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}
KINDS = {
    "llama": LlamaConfig(**SIZES, head_dim=32),
    "mistral": MistralConfig(**SIZES, head_dim=8, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES),
    "qwen2 tied": Qwen2Config(**{**SIZES, "tie_word_embeddings": True}, rms_norm_eps=1e-5),
    "qwen3": Qwen3Config(**SIZES, head_dim=32),
}


def written(kind, folder, store, **changes):
    """A folder by transformers, no weight of which is 0 or 1 as they are drawn."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(KINDS[kind])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.copy_(torch.empty_like(weight).uniform_(0.5, 1.5))
                weight.sub_(1.0 * name.endswith(".bias"))
    model.save_pretrained(folder)
    entry = TokenStore.open(store).manifest.tokenizer
    (folder / "tokenizer.model").write_bytes((store / entry.file).read_bytes())
    if changes:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder
