"""What is found out about a document: origin, language, date and quality."""

from data_prep.annotate.annotator import Annotator, annotation_key
from data_prep.annotate.annotators import Annotators
from data_prep.annotate.credentials import without_credentials
from data_prep.annotate.origin import countries_of
from data_prep.annotate.own_fields import OwnFields

__all__ = [
    "Annotator", "Annotators", "OwnFields", "annotation_key", "countries_of", "without_credentials",
]  # fmt: skip
