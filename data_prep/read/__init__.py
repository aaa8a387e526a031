"""Readers of every kind of input: what a file holds becomes records, or reasons why not.

1. `list_files` expands a source's path, pattern or folder, here or on `s3://`.
2. `open_reader` finds the format of one file by its first bytes, and by its name where they do
   not tell.
3. Its reader gives each record in the project's names of fields, or says what is wrong with it.
"""

from data_prep.read.files import list_files, list_inputs
from data_prep.read.pieces import pieces
from data_prep.read.reader import open_reader
from data_prep.read.record import Bad, InputFile, Raw, RecordReader

__all__ = [
    "Bad",
    "InputFile",
    "Raw",
    "RecordReader",
    "list_files",
    "list_inputs",
    "open_reader",
    "pieces",
]
