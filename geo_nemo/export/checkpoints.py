"""The newest whole checkpoint of a run, for those who load no weights; needs no torch."""

from geo_nemo.train.checkpoint_files import newest_whole

__all__ = ["newest_whole"]
