"""Plain transformers over the documents of a folder, sorted, BATCH at a time: FOLDER BATCH."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM


@torch.inference_mode()
def main() -> None:
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    arrays = np.load(folder / "documents.npz")
    texts = np.split(arrays["ids"], np.cumsum(arrays["lengths"])[:-1])
    started = time.process_time()
    texts.sort(key=len)
    nats = 0.0
    for start in range(0, len(texts), size):
        batch = texts[start : start + size]
        longest = max(map(len, batch))
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        mask = torch.zeros(len(batch), longest, dtype=torch.long)
        for number, text in enumerate(batch):
            ids[number, : len(text)] = torch.from_numpy(text)
            mask[number, : len(text)] = 1
        logits = model(ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        nats += float((losses * mask[:, 1:].flatten()).double().sum())
    print(json.dumps({"seconds": time.process_time() - started, "nats": nats}))


if __name__ == "__main__":
    main()
