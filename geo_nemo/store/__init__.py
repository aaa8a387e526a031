"""The token store: tokenised once, read as memory maps, composed into batches elsewhere."""

from geo_nemo.store.manifest import Manifest
from geo_nemo.store.reader import Split, TokenStore

__all__ = ["Manifest", "Split", "TokenStore"]
