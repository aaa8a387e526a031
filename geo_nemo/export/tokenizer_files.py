"""The files of a tokenizer in an export."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers.normalizers import NFC

from geo_nemo.config import Model
from geo_nemo.export.chat import NAME as TEMPLATE_NAME
from geo_nemo.export.chat import chat_template, countries_of, policy_with_metadata
from geo_nemo.export.place import write_json
from geo_nemo.export.source import Source
from geo_nemo.export.tokenizer_json import add_rows, converted, starts_with_bos
from geo_nemo.metadata.meta_tokens import meta_names
from geo_nemo.model.hugging_face_config import architecture
from geo_nemo.tokenizers.base import control_tokens
from geo_nemo.tokenizers.load import copy_tokenizer

JSON = "tokenizer.json"
FOR_QWENS = (
    "AutoTokenizer of transformers 5 takes every tokenizer in a folder of type qwen2 for Qwen's "
    "own, and gives other ids than those of training; so does what uses it, such as vLLM. "
    "PreTrainedTokenizerFast reads this one right."
)


def write_tokenizer(folder: Path, source: Source) -> Backend | None:
    """Write tokenizer.json and the tokenizer's own file; None where only the latter can be had.

    Its own file stands in `original/` where the folder's root has another form of it.
    """
    tokenizer, path = source.tokenizer, source.tokenizer_file
    backend = converted(path, tokenizer)
    added = meta_names(source.run.meta_tokens)
    if backend is not None and not add_rows(backend, added, tokenizer.vocab_size):
        backend = None
    if tokenizer.own_file == JSON and backend is not None and not added and _is_fit(path, source):
        shutil.copyfile(path, folder / JSON)
    elif tokenizer.own_file not in ("", JSON):
        copy_tokenizer(path, folder, tokenizer.kind)
    else:
        (folder / "original").mkdir(exist_ok=True)
        copy_tokenizer(path, folder / "original", tokenizer.kind)
    if backend is None:
        return None
    if not (folder / JSON).exists():
        # Not by its own method, which raises a bare Exception for a full disk.
        (folder / JSON).write_text(backend.to_str(pretty=True), "utf-8")
    names = {
        f"{role}_token": backend.id_to_token(number)
        for role, number in control_tokens(tokenizer).items()
    }
    if (unknown := getattr(backend.model, "unk_token", None)) is not None:
        names["unk_token"] = unknown
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "model_max_length": source.run.data.seq_length,
        # Without it transformers 4 adds token types, which a Llama does not take.
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", settings)
    policy = policy_with_metadata(stage.metadata for stage in source.run.stages.values())
    special = [token.content for token in backend.get_added_tokens_decoder().values()
               if token.special]  # fmt: skip
    template = chat_template(policy, countries_of(source.record["ledger"]), special)
    (folder / TEMPLATE_NAME).write_text(template, "utf-8")
    return backend


def _is_fit(path: Path, source: Source) -> bool:
    """Whether a file is a tokenizer.json that puts BOS in front, and cuts nothing off."""
    backend = Backend.from_str(path.read_text("utf-8"))
    plain = backend.truncation is None and backend.padding is None
    return plain and starts_with_bos(backend, source.tokenizer)


def taken_for_qwens(model: Model, backend: Backend) -> bool:
    """Whether AutoTokenizer of transformers 5 would read another tokenizer than this: it takes each
    one in a folder of type qwen2 for Qwen's own, which has NFC and this token."""
    if architecture(model) != "Qwen2":
        return False
    own = isinstance(backend.normalizer, NFC) and backend.token_to_id("<|endoftext|>") is not None
    return not own
