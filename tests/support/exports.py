"""A folder of geo-nemo export without a training: random weights, a policy, a tokenizer."""

import json
from pathlib import Path

import numpy as np

from geo_nemo.config import MetadataPolicy
from geo_nemo.export.chat import NAME, chat_template
from geo_nemo.export.tokenizer_json import converted
from geo_nemo.tokenizers.load import load_tokenizer
from tests.support import hugging_face
from tests.support.tiny import tiny_run

COUNTRIES = ("gb", "ke", "ng")
FULL = MetadataPolicy(cut="whole")


def write_export(
    folder: Path, store: Path, policy=FULL, seed=0, countries=COUNTRIES, **changes
) -> Path:
    """A tiny Llama with the tokenizer of a store, as if it was trained on three countries.

    changes: of its shape.
    """
    model = tiny_run("store", "out").model.model_copy(update=changes)
    path = store / "tokenizer.model"
    ours = load_tokenizer(path)
    weights = hugging_face.random_weights(model, ours.vocab_size, seed)
    ids = {"bos_token_id": ours.bos_id, "eos_token_id": ours.eos_id, "pad_token_id": ours.pad_id}
    hugging_face.write_folder(
        folder, model, weights, ours.vocab_size, path, max_position_embeddings=128,
        torch_dtype="float32", **ids,
    )  # fmt: skip
    backend = converted(path, ours)
    backend.save(str(folder / "tokenizer.json"))
    bos, eos = (backend.id_to_token(number) for number in (ours.bos_id, ours.eos_id))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos,
        "pad_token": eos, "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }))  # fmt: skip
    (folder / NAME).write_text(chat_template(policy, countries, (bos, eos)))
    (folder / "generation_config.json").write_text(json.dumps(ids))
    trained = {country: {"documents": 3, "text_tokens": 30, "metadata_tokens": 3}
               for country in countries}  # fmt: skip
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# tiny, step 6\n")
    (folder / "training.json").write_text(json.dumps({
        "run": "tiny", "step": 6, "sequence_length": 128,
        "stages": {"condition": {"metadata": policy.model_dump(mode="json")}},
        "fingerprint": {"store": "aa", "tokenizer": ours.sha256},
        "ledger": {"stages": {"condition": {"trained": {"by_country": trained}}}},
    }))  # fmt: skip
    return folder


def write_jsonl(path: Path, records) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def alpaca(number: int, seed: int = 0) -> list[dict]:
    """Instructions of three countries, of several lengths."""
    rng = np.random.default_rng(seed)
    words = [
        "the",
        "price",
        "of",
        "rail",
        "fares",
        "rises",
        "in",
        "the",
        "old",
        "town",
        "and",
        "nobody",
        "knows",
        "why",
    ]
    return [
        {
            "instruction": " ".join(rng.choice(words, int(rng.integers(2, 9)))) + "?",
            "input": "",
            "output": " ".join(rng.choice(words, int(rng.integers(1, 7)))) + ".",
            "country": COUNTRIES[n % 3],
            "host": f"news{n % 4}.com",
        }
        for n in range(number)
    ]
