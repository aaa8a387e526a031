"""Published filters, length bounds and masks; each rule has a name and can be left out."""

from data_prep.clean.cleaner import Cleaner
from data_prep.clean.filter import Drop, Filter

__all__ = ["Cleaner", "Drop", "Filter"]
