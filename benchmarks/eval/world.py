"""The models, documents and questions that all contenders read; made once, from seeds."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.corpora.words import FUNCTION_WORDS
from geo_nemo.common.folders import building

WORDS = FUNCTION_WORDS.split()


@dataclass(frozen=True)
class Shape:
    """A Llama. documents: that are scored in a round; questions: that are asked."""

    name: str
    hidden: int
    layers: int
    heads: int
    ffn: int
    vocab: int
    documents: int
    questions: int


SMALL = Shape("1.2M", 128, 4, 4, 384, 1536, 384, 512)
# Of a measurement that is to be quick: most of its time is that of starts.
QUICK = replace(SMALL, documents=96, questions=64)
LARGE = Shape("100M", 768, 12, 12, 2048, 16_384, 10, 12)
SEQ_LENGTH = 1024
OPTIONS = 4
# Solved questions before each, the same for all, as every harness has them.
SHOTS = (0, 5)


def shapes(quick: bool) -> tuple[Shape, ...]:
    """Those of a measurement."""
    return (QUICK,) if quick else (SMALL, LARGE)


def make(folder: Path, shape: Shape) -> Path:
    """The folder with the model, its tokenizer, `documents.npz` and `questions.json`."""
    place = folder / f"{shape.name}-{shape.documents}-{shape.questions}"
    if not place.exists():
        with building(place) as partial:
            _fill(partial, shape)
    return place


def _fill(place: Path, shape: Shape) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    rng = np.random.default_rng(1)
    text = [" " + " ".join(rng.choice(WORDS, 50)) for _ in range(50)]
    backend.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=shape.vocab, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))  # fmt: skip
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>",
        model_max_length=SEQ_LENGTH,
    ).save_pretrained(place)  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=shape.vocab, hidden_size=shape.hidden, intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads, max_position_embeddings=SEQ_LENGTH,
        bos_token_id=0, eos_token_id=1,
    )).save_pretrained(place)  # fmt: skip
    # Of news: a median of 300 tokens, some ten times as long.
    lengths = np.clip(rng.lognormal(np.log(300), 0.7, shape.documents), 20, SEQ_LENGTH).astype(int)
    ids = rng.integers(2, backend.get_vocab_size(), lengths.sum())
    np.savez(place / "documents.npz", lengths=lengths, ids=ids)
    questions = {
        str(shots): _questions(np.random.default_rng(shots), shots, shape.questions)
        for shots in SHOTS
    }
    (place / "questions.json").write_text(json.dumps(questions))


def _questions(rng: np.random.Generator, shots: int, number: int) -> list[dict]:
    def words(low: int, high: int) -> str:
        return " ".join(rng.choice(WORDS, int(rng.integers(low, high))))

    solved = [f"Question: {words(12, 25)}?\nAnswer: {words(1, 4)}\n\n" for _ in range(shots)]
    found = []
    for _ in range(number):
        options: list[str] = []
        while len(options) < OPTIONS:
            option = words(1, 5)
            if option not in options:
                options.append(option)
        prompt = f"{''.join(solved)}Question: {words(12, 25)}?\nAnswer:"
        found.append({"prompt": prompt, "options": options})
    return found
