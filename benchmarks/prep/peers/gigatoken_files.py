"""What Megatron-LM's tools/preprocess_data_fast.py does, from gigatoken itself: the texts of a JSON
Lines file to ids in one call, one thread, then .bin and .idx. INPUT TOKENIZER EOS OUTPUT."""

import sys
from pathlib import Path

import numpy as np

from benchmarks.prep.contender import say


def main() -> None:
    import awkward
    import gigatoken

    path, tokenizer_path, eos, output = sys.argv[1:]
    tokenizer = gigatoken.Tokenizer(tokenizer_path)
    source = gigatoken.JsonlFileSource([path], field="text")
    found = tokenizer.encode_files(source, parallel=False)
    lengths = np.asarray(awkward.num(found)).astype(np.int32) + 1
    ends = np.cumsum(lengths, dtype=np.int64) - 1
    wide = tokenizer.vocab_size > 1 << 16
    ids = np.empty(int(lengths.sum(dtype=np.int64)), np.int32 if wide else np.uint16)
    of_text = np.ones(len(ids), bool)
    of_text[ends] = False
    ids[of_text] = np.asarray(awkward.flatten(found))
    ids[ends] = next(n for n, piece in tokenizer.vocab.items() if piece == eos.encode())
    folder = Path(output)
    folder.mkdir(parents=True)
    ids.tofile(folder / "out_text_document.bin")
    with (folder / "out_text_document.idx").open("wb") as index:
        code, count = (4, len(lengths)) if wide else (8, len(lengths))
        index.write(b"MMIDIDX\0\0" + np.array([1], "<u8").tobytes() + bytes([code]))
        index.write(np.array([count, count + 1], "<u8").tobytes())
        index.write(lengths.tobytes())
        index.write(((ends - lengths + 1) * ids.itemsize).tobytes())
        index.write(np.arange(count + 1, dtype="<i8").tobytes())
    say(tokens=len(ids))


if __name__ == "__main__":
    main()
