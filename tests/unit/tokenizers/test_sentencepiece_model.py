"""What a sentencepiece model says: the same as the library's own protobuf classes read."""

import io

import pytest
import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from geo_nemo.tokenizers.sentencepiece_model import parse_model

TEXTS = [f"The {n}th of five towns votes on naïve rail fares and 東京." for n in range(300)]
OPTIONS = {
    "as ours": {
        "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
        "add_dummy_prefix": False, "remove_extra_whitespaces": False,
        "user_defined_symbols": ["\n", "URL:", "two words"], "pad_id": 3,
    },
    "defaults": {},
    "bpe": {"model_type": "bpe", "normalization_rule_name": "identity", "unk_piece": "[UNK]"},
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_is_what_protobuf_reads(options):
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=made, vocab_size=380, num_threads=1,
        hard_vocab_limit=False, minloglevel=2, **options,
    )  # fmt: skip
    expected, found = ModelProto.FromString(made.getvalue()), parse_model(made.getvalue())
    assert [(p.piece, p.score, p.type) for p in expected.pieces] == found.pieces
    assert found.is_bpe == (expected.trainer_spec.model_type == expected.trainer_spec.BPE)
    assert found.byte_fallback == expected.trainer_spec.byte_fallback
    assert found.changes_characters == bool(expected.normalizer_spec.precompiled_charsmap)
    assert found.space_in_front == expected.normalizer_spec.add_dummy_prefix


def test_what_a_file_leaves_out_is_as_the_format_has_it():
    proto = ModelProto(pieces=[ModelProto.SentencePiece(piece="a")])
    found = parse_model(proto.SerializeToString())
    assert found == ([("a", 0.0, 1)], False, False, False, True)
