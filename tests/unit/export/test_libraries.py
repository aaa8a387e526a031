"""What an export's folder is read with: its tokenizer as it says it is."""

import errno
import json

import pytest
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from geo_nemo.config import Model, UserError
from geo_nemo.export.libraries import tokenizer_in, writing_weights
from geo_nemo.export.tokenizer_files import taken_for_qwens

TEXT = "In 1999 the A\u030as said it's 12,345\n\n  and more"


@pytest.fixture(scope="module")
def backend():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet
    )
    made.train_from_iterator([TEXT] * 3, trainer)
    return made


@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "TokenizersBackend"])
@pytest.mark.parametrize("model", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_plain_tokenizer_is_read_as_it_is_in_folders_of_every_type(
    tmp_path, backend, model, kind
):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model}))
    (tmp_path / "tokenizer.json").write_text(backend.to_str())
    told = {"tokenizer_class": kind, "bos_token": "<s>", "eos_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    read = tokenizer_in(tmp_path)
    assert (read.encode(TEXT), len(read)) == (backend.encode(TEXT).ids, backend.get_vocab_size())
    if model == "qwen2":
        # Why: if this is no longer so, AutoTokenizer will do.
        assert AutoTokenizer.from_pretrained(tmp_path).encode(TEXT) != read.encode(TEXT)


def test_of_a_damaged_folder_transformers_says_what_is_wrong(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises((OSError, ValueError)):
        tokenizer_in(tmp_path)


def test_only_another_tokenizer_in_qwen_2_s_shape_is_taken_for_qwens(backend):
    shape = {"num_layers": 1, "hidden_size": 8, "num_attention_heads": 1}
    shape |= {"num_query_groups": 1, "ffn_hidden_size": 8}
    qwen = Tokenizer.from_str(backend.to_str())
    qwen.normalizer = normalizers.NFC()
    qwen.add_special_tokens(["<|endoftext|>"])
    biased = Model(**shape, add_qkv_bias=True)
    assert taken_for_qwens(biased, backend) and not taken_for_qwens(biased, qwen)
    assert not taken_for_qwens(Model(**shape), backend)


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
    ],
)
def test_a_full_disk_is_a_line_whichever_library_finds_it(tmp_path, error):
    match = r"^cannot write .*/model: .*; mend that.*$"
    with pytest.raises(UserError, match=match), writing_weights(tmp_path / "model"):
        raise error


def test_torch_says_of_a_full_disk_what_is_looked_for():
    with pytest.raises(UserError, match="cannot write x: "), writing_weights("x"):
        torch.save({"a": torch.zeros(1 << 16)}, "/dev/full")


def test_another_error_of_a_library_stays_one():
    with pytest.raises(RuntimeError, match="shapes"), writing_weights("x"):
        raise RuntimeError("shapes differ")
