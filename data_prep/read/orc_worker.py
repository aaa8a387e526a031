"""A process that turns an ORC file into a stream of Arrow's.

It is run as a script, by data_prep.read.orc: pyarrow gives a stripe as a whole, however large a
damaged file makes it, and may crash over it; that ends this process and not the preparation.
Argument: the descriptor of the file; without one it ends as soon as it has started. On stdout:
the schema, its length before it; then, of the columns that a line of JSON on stdin names, a stream.
What it has to say of damage is on stderr.
"""

import json
import os
import struct
import sys

import pyarrow as pa
import pyarrow.orc

from data_prep.beside import lower_limits

SLICE_ROWS = 256


def main() -> None:
    lower_limits()
    if len(sys.argv) == 1:
        return
    with os.fdopen(int(sys.argv[1]), "rb") as raw:
        file = pyarrow.orc.ORCFile(pa.PythonFile(raw, mode="r"))
        schema = file.schema.serialize().to_pybytes()
        sys.stdout.buffer.write(struct.pack(">I", len(schema)) + schema)
        sys.stdout.buffer.flush()
        names = json.loads(sys.stdin.readline())
        narrow = pa.schema([file.schema.field(name) for name in names])
        with pa.ipc.new_stream(pa.PythonFile(sys.stdout.buffer, mode="w"), narrow) as stream:
            for number in range(file.nstripes):
                stripe = file.read_stripe(number, columns=names)
                for start in range(0, stripe.num_rows, SLICE_ROWS):
                    stream.write_batch(stripe.slice(start, SLICE_ROWS).select(names))


if __name__ == "__main__":
    try:
        main()
    except (OSError, pa.ArrowException, ValueError, MemoryError) as error:
        sys.exit(" ".join(str(error).split())[:200] or type(error).__name__)
