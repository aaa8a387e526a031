"""Text to tokens, once: the tokenizer, the shards of the token store, and the store itself."""


def tokenise_stages() -> list[type]:
    """The stages of this package, in order."""
    from data_prep.tokenise.store_stage import Store
    from data_prep.tokenise.tokenise_stage import Tokenise
    from data_prep.tokenise.tokenizer_stage import TokenizerStage

    return [TokenizerStage, Tokenise, Store]
