"""A tokenizer from outside: what it gives is checked, and what it is named by."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from data_prep.config import Prep
from data_prep.tokenise import loaded
from data_prep.tokenise.encoders import choose_encoder
from data_prep.tokenise.tokenizer_stage import TokenizerStage
from geo_nemo.config import RunError, UserError, plugins
from geo_nemo.export.tokenizer_json import converted
from geo_nemo.tokenizers.load import load_tokenizer

SOUND = """
class T:
    vocab_size, bos_id, eos_id, pad_id = 258, 256, 257, 257
    def __init__(self, path, content, bos, eos, pad): self.given = bos, eos, pad
    def encode(self, text): return list(text.encode())
    def decode(self, ids): return bytes(i for i in ids if i < 256).decode(errors="replace")
    def pieces(self, ids): return [chr(i) if i < 256 else "<c>" for i in ids]
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads `names.txt` by a class that is this code."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "names.txt"
    file.write_text("<s> </s>")
    count = iter(range(9))

    def load(code):
        module = f"tokenizer_{tmp_path.name}_{next(count)}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        points = EntryPoints([EntryPoint("own", f"{module}:T", "geo_nemo.tokenizers")])
        monkeypatch.setattr(plugins, "entry_points", lambda **asked: points.select(**asked))
        loaded._tokenizers.clear()
        return load_tokenizer(file, kind="own")

    return load


def test_it_is_a_tokenizer_whose_hash_is_of_file_and_code(load, tmp_path):
    tokenizer = load(SOUND)
    assert tokenizer.encode("é") == [195, 169]
    assert tokenizer.encode_batch(["a", "\ud800"]) == [[97], [239, 191, 189]]
    assert tokenizer.decode([97, 257]) == "a"
    assert load(SOUND + "# other").sha256 != tokenizer.sha256
    one, same = load(SOUND + "    version = 1"), load(SOUND + "    version = 1 # other")
    assert one.sha256 != load(SOUND + "    version = 2").sha256
    assert one.kind == same.kind == "own"


BATCH, ENCODE = "    def encode_batch(self, texts): ", "    def encode(self, text): "


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            f"{BATCH}return [[1]] * len(texts)",
            r"gives '' other ids by encode_batch than by encode: ",
        ),
        (f"{BATCH}return [[1]]", r"own gives 1 lists of ids for 20 texts: mend its package"),
        ("    vocab_size = 200", r"own has bos_id=256, not a whole number from 0 to 199: mend its"),
        ("    vocab_size = 'a'", r"own has vocab_size='a', not a whole number"),
        (f"{ENCODE}return [258]", r"gives '' the id 258, and its vocab_size is 258"),
        (f"{ENCODE}return [-1]", r"gives '' the id -1, and"),
        (f"{ENCODE}return [1.5]", r"at the text '', fails \(AttributeError"),
        (f"{ENCODE}1 / 0", r"the tokenizer own, at the text '', fails \(ZeroDivision"),
        (f"{ENCODE}return [256]", r"turns the text '<c>' into control token 256"),
        ("    def pieces(self, ids): return []", r"own gives 0 pieces for 2 ids"),
        ("    def __init__(self, *given): raise ValueError('no')", r"own: ValueError: no; mend"),
    ],
)
def test_one_that_fails_or_lies_is_one_line(load, change, line):
    with pytest.raises((UserError, RunError), match=line) as caught:
        load(SOUND + change)
    assert "\n" not in str(caught.value)


def test_batches_are_compared_with_single_texts_as_a_store_is_made(load, tmp_path):
    cuts = "[list(text.encode())[: 1 if text == 'odd' else None] for text in texts]"
    tokenizer = load(SOUND + BATCH + "return " + cuts)
    choice = choose_encoder(tmp_path / "names.txt", tokenizer)
    assert choice.encoder.name == "own by batches"
    assert len(choice.reference.encode(["odd"]).ids) == 3
    assert len(choice.encoder.encode(["odd"]).ids) == 1


JSON = """
    def tokenizer_json(self):
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
        signs = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = iter(range(256, 512))
        shown = [chr(b if b in signs else next(others)) for b in range(256)]
        found = Tokenizer(models.BPE({c: n + SHIFT * (n in (97, 98)) * (195 - 2 * n)
                                      for n, c in enumerate(shown)}, []))
        found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        found.decoder = decoders.ByteLevel()
        found.add_special_tokens([AddedToken("<s>", normalized=False),
                                  AddedToken("</s>", normalized=False)])
        return found.to_str()
"""
NAMED = SOUND.replace('"<c>"', '"<s>" if i == 256 else "</s>"')


def test_its_own_tokenizer_json_is_exported_where_its_ids_are_the_same(load, tmp_path):
    path = tmp_path / "names.txt"
    assert converted(path, load(NAMED)) is None
    found = converted(path, load(NAMED + JSON.replace("SHIFT", "0")))
    assert found.encode("abc é").ids == [256, *"abc é".encode()]
    # With the ids of a and b the other way round.
    assert converted(path, load(NAMED + JSON.replace("SHIFT", "1"))) is None
    with pytest.raises(RunError, match=r"the tokenizer own, at its tokenizer_json, fails \(Zero"):
        converted(path, load(NAMED + "    def tokenizer_json(self): 1 / 0"))


def test_a_kind_is_a_name_that_is_there_and_has_a_file(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"a.txt must end in .model .* tokenizer.kind of"):
        load_tokenizer(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"^tokenizer.kind: bites is not a kind of tok"):
        load_tokenizer(tmp_path / "a.txt", kind="bites")
    for tokenizer, line in (
        (
            {"path": "a", "kind": "os:system"},
            r"a kind of tokenizer is known by a name, which an entry",
        ),
        ({"path": "a", "kind": "bites"}, r"or an installed package's"),
        ({"kind": "tiktoken"}, r"kind is that of a file: give path, too"),
    ):
        with pytest.raises(ValueError, match=line):
            Prep(input="a", output="b", tokenizer=tokenizer)


def test_the_kind_is_part_of_the_stage_s_key(load, tmp_path):
    def key(**choice):
        choice = {"path": str(tmp_path / "names.txt"), **choice}
        (task,) = TokenizerStage(Prep(input="a", output="b", tokenizer=choice)).tasks()
        return task.key

    load(SOUND)
    keys = [key(), key(kind="own")]
    load(SOUND + "# other")
    assert len({*keys, key(kind="own")}) == 3
