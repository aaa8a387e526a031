"""The kinds of tokenizer that there are.

A store says by its kind what reads its tokenizer. So a kind from outside is an entry point: were it
`module:attribute`, a store from elsewhere could name code of this machine to be run.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from geo_nemo.config.plugins import Kind
from geo_nemo.config.section import PluginName

_HERE = "geo_nemo.tokenizers"
TOKENIZERS = Kind(
    "kind of tokenizer",
    "geo_nemo.tokenizers",
    {
        "sentencepiece": f"{_HERE}.sentencepiece:SentencePieceTokenizer",
        "huggingface": f"{_HERE}.hugging_face:HuggingFaceTokenizer",
        "tiktoken": f"{_HERE}.tiktoken:TiktokenTokenizer",
    },
    only_names=True,
    methods=("encode", "decode", "pieces"),
)
KindName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.-]*$")]
KnownKind = Annotated[PluginName, AfterValidator(TOKENIZERS.check)]
