"""A benchmark that a model was trained on, in its order, is found; one that it was not is not."""

import json
import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare
from transformers import LlamaForCausalLM

from eval.config import EvalConfig
from eval.models import read_models
from eval.probe.config import ProbeConfig
from eval.probe.contamination import body_losses, min_k, order_test, read_benchmark
from eval.probe.membership import area
from eval.scorers.load import load
from geo_nemo.config import UserError
from geo_nemo.metadata.blocks import NO_TOKENS
from geo_nemo.metadata.composed import Composed
from tests.unit.eval import hub
from tests.unit.eval.fakes import byte_tokenizer

ROOM = 64


def items(seed, count=24):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcdefgh"), 6)) for _ in range(count)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Scorers of a Llama before and after it learnt a benchmark by heart, and the tokenizer."""
    folder = tmp_path_factory.mktemp("contamination")
    tokenizer, _ = byte_tokenizer(folder)
    torch.manual_seed(0)
    found = {}
    for name in ("clean", "trained"):
        hub.save_byte_tokenizer(folder / name)
        hub.save_llama(folder / name, 259)
    model = LlamaForCausalLM.from_pretrained(folder / "clean")
    encoded = [tokenizer.encode(f"{text}\n\n") for text in items(1)]
    rows = [sum(encoded[first : first + 8], [tokenizer.bos_id]) for first in (0, 8, 16)]
    tokens = torch.tensor(rows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        model(tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "trained")
    for name in ("clean", "trained"):
        place = {"m": str(folder / name)}
        config = EvalConfig(runs=place, store="-", output="-", device="cpu")
        found[name] = load(read_models(place)["m"], config)
    return found, tokenizer


def tried(models, name, texts):
    scorers, tokenizer = models
    return order_test(
        scorers[name], tokenizer, texts, seq_length=ROOM, packed_length=4 * ROOM, permutations=39,
        rng=np.random.default_rng(2),
    )  # fmt: skip


def test_an_order_that_was_read_is_found_and_none_where_it_was_not(models):
    read = tried(models, "trained", items(1))
    assert read["p"] == 1 / 40 and read["gain"] > 0.05 and read["items"] == 24
    assert tried(models, "clean", items(1))["p"] > 0.1
    assert tried(models, "trained", items(3))["p"] > 0.1


class AnyOrder:
    """A model that likes orders by chance: a token's loss is drawn by all that stands before it."""

    seq_length, vocab_size = ROOM, 259

    def nll(self, sequence):
        found = np.zeros(len(sequence.tokens), np.float32)
        for start, end in pairwise(sequence.cu_seqlens.tolist()):
            ids = sequence.tokens[start:end].astype(np.int64).tobytes()
            found[end - 1] = zlib.crc32(ids) % 10_007
        return found


@pytest.mark.parametrize("together", [8, 2])
def test_p_of_an_order_that_nobody_read_is_as_uniform_as_ranks_are(models, together):
    """Of m other orders p is each of 1/(m+1), ..., 1 alike; equal orders make it larger only."""
    _, tokenizer = models
    texts, rng = items(5, 3 * together), np.random.default_rng(6)
    found = np.array([
        order_test(
            AnyOrder(), tokenizer, [texts[n] for n in rng.permutation(len(texts))],
            seq_length=8 * together, packed_length=4 * ROOM, permutations=9, rng=rng,
        )["p"]
        for _ in range(300)
    ])  # fmt: skip
    ranks = np.rint(found * 10).astype(int)
    assert found == pytest.approx(ranks / 10)
    counts = np.bincount(ranks, minlength=11)[1:]
    if together == 8:
        assert chisquare(counts).pvalue > 0.001
    for rank in range(1, 10):
        assert binomtest(int(counts[:rank].sum()), 300, rank / 10, "greater").pvalue > 0.001


def test_an_order_that_is_the_file_s_own_counts_as_likely_as_it_however_it_was_batched(
    models, monkeypatch
):
    scorers, tokenizer = models
    monkeypatch.setattr(scorers["clean"], "positions", 3 * 17)
    texts = items(7, 4)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        orders = [[rng.permutation(2).tolist() for _ in range(39)] for _ in range(2)]
        same = sum(a == b == [0, 1] for a, b in zip(*orders, strict=True))
        found = order_test(
            scorers["clean"], tokenizer, texts, seq_length=16, packed_length=4 * ROOM,
            permutations=39, rng=np.random.default_rng(seed),
        )  # fmt: skip
        assert found["shards"] == 2 and found["p"] >= (1 + same) / 40


def test_min_k_tells_what_was_trained_on_and_is_its_formula(models):
    assert min_k(np.array([1.0, 9, 2, 3, 4, 8, 5, 6, 7, 0]), 0.2) == 8.5
    assert min_k(np.array([3.0])) == 3.0
    scorers, tokenizer = models

    def lowest(name, texts):
        nothing = (NO_TOKENS,) * 4
        composed = [
            Composed(tokenizer.bos_id, (*nothing, np.array(tokenizer.encode(text)), *nothing[:2]))
            for text in ("\n\n".join(texts[n : n + 8]) for n in (0, 8, 16))
        ]
        losses = body_losses(scorers[name], composed, 4 * ROOM, tokenizer.pad_id)
        assert [len(loss) for loss in losses] == [len(c.ids) - 1 for c in composed]
        return np.array([min_k(loss) for loss in losses])

    assert area(lowest("trained", items(1)), lowest("trained", items(3))) == 1.0
    assert area(lowest("clean", items(1)), lowest("clean", items(3))) < 1.0


def test_a_text_is_not_cut_at_a_line_end_of_unicode(tmp_path):
    texts = [f"a\u2028b {n}" for n in range(99)]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), "utf-8")
    assert read_benchmark(tmp_path / "a.jsonl") == texts


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(UserError, match="give a file of JSON Lines"):
        read_benchmark(tmp_path / "none.jsonl")
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"answer": "a"}) + "\n")
    with pytest.raises(UserError, match="a line has no text, question"):
        read_benchmark(path)
    path.write_text(json.dumps({"text": "a"}) + "\n" + json.dumps({"text": None}) + "\n")
    with pytest.raises(UserError, match="a line has no text, question"):
        read_benchmark(path)
    path.write_text("[" * 200_000)
    with pytest.raises(UserError, match="a line has no text, question"):
        read_benchmark(path)
    path.write_text(json.dumps({"text": "a"}) + "\n")
    with pytest.raises(UserError, match="has 1 items, too few"):
        read_benchmark(path)
    with pytest.raises(ValueError, match="needs benchmark=FILE"):
        ProbeConfig(runs={"a": "b"}, store="s", output="o", only=("order",))
