"""Models in the format of transformers: a bigram of known probabilities, and small random ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tests.unit.eval.fakes import CONTINENTS, byte_tokenizer


def save_byte_tokenizer(folder: Path) -> None:
    """The tokenizer of the fakes, as a folder of transformers has it."""
    folder.mkdir(parents=True, exist_ok=True)
    _, path = byte_tokenizer(folder)
    wrap(Tokenizer.from_file(str(path)), folder)


def save_other_tokenizer(folder: Path, texts: list[str]) -> None:
    """A byte-level BPE of 400 ids, trained on the texts."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<s>", "</s>", "<pad>"],
        show_progress=False,
    ))  # fmt: skip
    wrap(backend, folder)


def wrap(backend: Tokenizer, folder: Path) -> None:
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def save_bigram(folder: Path, log_p: np.ndarray) -> None:
    """A Llama whose logits behind a token are its row of `log_p` [v, v], and nothing else.

    Its one layer adds nothing: the last projections of attention and feed-forward are zero.
    """
    size = len(log_p)
    config = LlamaConfig(
        vocab_size=size, hidden_size=size, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, head_dim=4, max_position_embeddings=256,
        rms_norm_eps=1e-12, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        # The norm makes sqrt(v) of the one of a row of the unit matrix.
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.copy_(torch.from_numpy(log_p.T / np.sqrt(size)))
    model.save_pretrained(folder)


def save_llama(folder: Path, vocab_size: int) -> None:
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab_size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        initializer_range=0.3,
    )).save_pretrained(folder)  # fmt: skip


def save_gpt2(folder: Path, vocab_size: int) -> None:
    torch.manual_seed(2)
    GPT2LMHeadModel(GPT2Config(
        vocab_size=vocab_size, n_embd=32, n_layer=2, n_head=4, n_positions=256,
        initializer_range=0.3,
    )).save_pretrained(folder)  # fmt: skip


def save_corpus(path: Path, documents: list[tuple[str, str, str, str]]) -> Path:
    """The fakes' documents as a Parquet file of a corpus."""
    rows = [
        {
            "id": str(n), "url": f"https://{host}/{n}", "host": host, "path": f"/{n}",
            "country": country, "continent": CONTINENTS[country], "title": title, "text": body,
            "hash": n.to_bytes(16, "little"), "year": 2000 + n % 5,
        }
        for n, (country, host, title, body) in enumerate(documents)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=17)
    return path
