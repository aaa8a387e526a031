"""Published filters, length bounds and masks; each rule has a name and can be left out."""

from data_prep.clean.cleaner import Cleaner

__all__ = ["Cleaner"]
