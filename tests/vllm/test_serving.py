"""Exports served by vLLM on a CPU: completions and chat with metadata, greedily as transformers.

Both compute in fp32, where a logit is off by at most 1.2e-5 of the largest
(tests/unit/train/test_init_weights.py): a best token that leads by 5e-5 of it is the same in both,
and the tests see that each does.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
import torch

from geo_nemo.config import Model
from geo_nemo.export.hugging_face import export as export_run
from geo_nemo.export.source import find_source
from geo_nemo.model.hugging_face_config import read_shape
from tests.support.architectures import written
from tests.support.exports import write_export
from tests.support.ports import free_ports
from tests.support.runs import finished

pytest.importorskip("vllm", reason="make test-vllm")
SECONDS = 400
TOKENS = 16
COUNTRIES = ("ng", "gb", None)
TURNS = [
    {"role": "user", "content": "Who leads the bank?"},
    {"role": "assistant", "content": "Tavelly."},
    {"role": "user", "content": "Since when?"},
]
# Nothing is fetched and nothing told.
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
SMALL = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


@contextmanager
def served(folder, log):
    """vLLM's server of a folder: its address. The command vllm of vllm-cpu 0.32 does not start: it
    asks for the version of a package that is called vllm."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "m"]
    command += ["--dtype", "float32", "--enforce-eager"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **QUIET, **SMALL}
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)


def _wait(process, address, log):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"no server after {SECONDS} s: {log.read_text()[-3000:]}")


def ask(address, **content):
    """What the server answers: content, or the message of a 400."""
    settings = {"model": "m", "temperature": 0, "max_tokens": TOKENS, "return_token_ids": True}
    request = urllib.request.Request(
        address,
        json.dumps({**settings, **content}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        return json.loads(urllib.request.urlopen(request, timeout=120).read())
    except urllib.error.HTTPError as error:
        assert error.code == 400
        return json.loads(error.read())["error"]["message"]


class Greedy:
    """transformers, token by token. lead: least by which a best token led, of the largest logit."""

    def __init__(self, folder):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.lead = 1.0

    @torch.inference_mode()
    def __call__(self, ids):
        written, ends = [], self.model.generation_config.eos_token_id
        while len(written) < TOKENS and (not written or written[-1] != ends):
            logits = self.model(torch.tensor([ids + written])).logits[0, -1]
            best, next_best = logits.topk(2).values
            self.lead = min(self.lead, float((best - next_best) / logits.abs().max()))
            written.append(int(logits.argmax()))
        return written


@pytest.fixture(scope="module")
def export(tiny_store, tmp_path_factory):
    # Heads of 32 channels: of 16, as small models have them elsewhere, the server's engine ends.
    heads = {"num_attention_heads": 2, "num_query_groups": 1}
    return write_export(tmp_path_factory.mktemp("export") / "model", tiny_store, **heads)


@pytest.fixture(scope="module")
def server(export, tmp_path_factory):
    with served(export, tmp_path_factory.mktemp("log") / "vllm.log") as address:
        yield address


def told(country):
    return {"country": country, "host": "punchng.com"} if country else None


def test_a_conversation_with_metadata_has_the_tokens_of_transformers(export, server):
    greedy = Greedy(export)
    seen = set()
    for country in COUNTRIES:
        ids = greedy.tokenizer.apply_chat_template(
            TURNS, metadata=told(country), add_generation_prompt=True
        )["input_ids"]
        given = {"chat_template_kwargs": {"metadata": told(country)}} if country else {}
        found = ask(f"{server}/chat/completions", messages=TURNS, **given)
        assert found["prompt_token_ids"] == ids
        assert found["choices"][0]["token_ids"] == greedy(ids)
        seen.add(tuple(ids))
    assert len(seen) == 3
    assert greedy.lead > 5e-5


def test_a_document_with_its_metadata_has_the_tokens_of_transformers(export, server):
    greedy = Greedy(export)
    prompt = "URL: punchng.com\nCOUNTRY: ng\nCONTINENT: Africa\n\nCONTENT: The bank"
    ids = greedy.tokenizer(prompt)["input_ids"]
    found = ask(f"{server}/completions", prompt=prompt)["choices"][0]
    assert found["prompt_token_ids"] == ids and ids[0] == greedy.tokenizer.bos_token_id
    assert found["token_ids"] == greedy(ids)
    assert greedy.lead > 5e-5


def test_what_the_model_was_not_told_is_refused_by_the_template(server):
    for metadata, message in (
        ({"country": "za"}, "the country za is not among those that this model was told: gb"),
        ({"topic": "sport"}, "topic"),
    ):
        given = {"chat_template_kwargs": {"metadata": metadata}}
        assert message in ask(f"{server}/chat/completions", messages=TURNS, **given)


@pytest.mark.usefixtures("single_process")
def test_a_qwen_3_that_was_trained_on_with_metadata_is_served_too(tiny_store, tmp_path):
    theirs = written("qwen3", tmp_path / "theirs", tiny_store)
    shape = Model(**read_shape(theirs))
    assert shape.kv_channels == 32 and shape.qk_layernorm
    finished(tiny_store, tmp_path / "run", model=shape, init={"checkpoint": str(theirs)})
    folder = tmp_path / "qwen"
    export_run(find_source(str(tmp_path / "run"), None, tmp_path), folder, "fp32")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "qwen3"
    greedy = Greedy(folder)
    ids = greedy.tokenizer.apply_chat_template(
        TURNS, metadata=told("ng"), add_generation_prompt=True
    )["input_ids"]
    given = {"messages": TURNS, "chat_template_kwargs": {"metadata": told("ng")}}
    with served(folder, tmp_path / "vllm.log") as address:
        found = ask(f"{address}/chat/completions", **given)
    assert found["prompt_token_ids"] == ids
    assert found["choices"][0]["token_ids"] == greedy(ids)
    assert greedy.lead > 5e-5
