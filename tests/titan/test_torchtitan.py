"""torchtitan's own model and checkpoints beside ours: an export in, its checkpoint back.

Logits of two programs in fp32: a tolerance as in tests/unit/train/test_init_weights.py. Weights
that go there and back are the same bits: both ways only move rows.
"""

import shutil

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file, save_file

pytest.importorskip("torchtitan", reason="make test-titan")

import torchtitan.models.llama3 as titan
from torchtitan.models.common.attention import ScaledDotProductAttention

from geo_nemo.config import UserError
from tests.support.logits import own_logits
from tests.support.tiny import VOCAB_SIZE
from tests.titan.shape import shape_of
from tests.unit.train.test_init_weights import (
    MODEL,
    RELATIVE,
    begun,
    equal,
    stepped,
    write_hugging_face,
)

pytestmark = pytest.mark.usefixtures("single_process")


@pytest.fixture
def folder(tiny_store, tmp_path):
    return write_hugging_face(tiny_store, tmp_path / "llama")


def weights_of(folder):
    files = folder.glob("*.safetensors")
    return {name: each for file in files for name, each in load_file(file).items()}


def model_of(folder, monkeypatch):
    """torchtitan's Llama in the shape of a folder, and what maps names: of one document, so that
    the attention without borders, which it keeps for other models, serves."""
    monkeypatch.setattr(titan, "get_attention_config", lambda _: ScaledDotProductAttention.Config())
    config = shape_of(folder, seq_length=128)
    return config.build(), titan.Llama3StateDictAdapter(config, str(folder))


def test_logits_of_an_export_are_ours(folder, tiny_store, tmp_path, monkeypatch):
    model, adapter = model_of(folder, monkeypatch)
    model.load_state_dict(adapter.from_hf(weights_of(folder)))
    tokens = torch.randint(0, VOCAB_SIZE, (64,), generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        theirs = model(tokens[None])[0]
    ours = own_logits(begun(tiny_store, tmp_path / "run", folder).engine.module, tokens)
    assert (ours - theirs).abs().max() < RELATIVE * ours.abs().max()


def test_its_checkpoint_comes_back_to_the_same_bits(folder, tiny_store, tmp_path, monkeypatch):
    """Its folder of torch.distributed.checkpoint, then its own way to Hugging Face's names."""
    model, adapter = model_of(folder, monkeypatch)
    model.load_state_dict(adapter.from_hf(weights_of(folder)))
    dcp.save(model.state_dict(), checkpoint_id=tmp_path / "step-1")

    other, adapter = model_of(folder, monkeypatch)
    read = other.state_dict()
    dcp.load(read, checkpoint_id=tmp_path / "step-1")
    back = tmp_path / "back"
    shutil.copytree(folder, back, ignore=shutil.ignore_patterns("*.safetensors*"))
    named = {name: each.contiguous() for name, each in adapter.to_hf(read).items()}
    save_file(named, back / "model.safetensors", metadata={"format": "pt"})

    one = begun(tiny_store, tmp_path / "one", folder)
    two = begun(tiny_store, tmp_path / "two", back)
    assert MODEL == one.run.model == two.run.model
    assert equal(stepped(one), stepped(two))


def test_its_folder_itself_is_refused_with_the_way(folder, tiny_store, tmp_path, monkeypatch):
    model, _ = model_of(folder, monkeypatch)
    dcp.save(model.state_dict(), checkpoint_id=tmp_path / "step-1")
    with pytest.raises(UserError, match="convert"):
        begun(tiny_store, tmp_path / "run", tmp_path / "step-1")
