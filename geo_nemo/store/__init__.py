"""The token store: tokenised once, read as memory maps, composed into batches elsewhere."""

from geo_nemo.store.manifest import Manifest
from geo_nemo.store.reader import TokenStore
from geo_nemo.store.split import Split

__all__ = ["Manifest", "Split", "TokenStore"]
