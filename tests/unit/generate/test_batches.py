"""What of a batch is padding, and of models that have no token for it."""

import pytest

from geo_nemo.export.loaded import load_model, load_tokenizer, open_folder
from tests.support.exports import write_export
from tests.unit.generate.test_generate import PROMPTS, writer


@pytest.fixture(scope="module")
def loaded(tiny_store, tmp_path_factory):
    opened = open_folder(str(write_export(tmp_path_factory.mktemp("g") / "model", tiny_store)))
    return load_model(opened, "float32", "cpu"), load_tokenizer(opened), opened


def test_padding_behind_a_stop_is_none_of_what_was_written(loaded):
    """The others of a batch go on, and the row is filled up with a token of its own."""
    model, _, opened = loaded
    tokenizer = load_tokenizer(opened)
    tokenizer.pad_token = "<unk>"
    assert tokenizer.pad_token_id == 0 != tokenizer.eos_token_id
    texts = [each.text for each in writer(loaded, chat=False).write(PROMPTS[:2], 0)]
    stop = next(c for c in texts[0][len(texts[0]) // 3 :] if c not in texts[1])
    made = writer((model, tokenizer, opened), chat=False, stop=(stop,))
    alone, together = made.write(PROMPTS[:1], 0)[0], made.write(PROMPTS[:2], 0)
    assert alone.tokens < together[1].tokens == 12 and together[1].ended == "length"
    assert together[0] == alone


def test_a_model_without_tokens_of_padding_and_of_an_end_writes_batches(loaded):
    model, _, opened = loaded
    tokenizer, before = load_tokenizer(opened), model.generation_config.eos_token_id
    tokenizer.eos_token = tokenizer.pad_token = model.generation_config.eos_token_id = None
    try:
        made = writer((model, tokenizer, opened), chat=False)
        texts = [made.write([prompt], 0)[0] for prompt in PROMPTS]
        assert made.write(PROMPTS, 0) == texts and {each.tokens for each in texts} == {12}
        stop = next(c for c in texts[0].text[4:] if c not in texts[1].text)
        made = writer((model, tokenizer, opened), chat=False, stop=(stop,))
        assert made.write(PROMPTS[:2], 0)[0] == made.write(PROMPTS[:1], 0)[0] != texts[0]
    finally:
        model.generation_config.eos_token_id = before
