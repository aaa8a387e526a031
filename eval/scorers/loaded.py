"""A causal language model of transformers that is loaded: its body, its head, batches of texts.

The model's body runs over a batch; its head only where a label is asked for, a piece at a time, so
that a large vocabulary needs no [batch, length, vocabulary] in memory. Whether that gives the
model's own logits is tried once, when it is loaded; otherwise it runs as it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

# Positions of a batch at most. On a GPU many fill it.
BATCH_POSITIONS = {"cpu": 2048, "cuda": 65_536}
# Positions times width of hidden states on a CPU: more leaves its caches, and one text after the
# other is quicker.
CPU_HIDDEN_VALUES = 262_144
# Logits at once, in numbers.
HEAD_VALUES = {"cpu": 2_000_000, "cuda": 512_000_000}


class LoadedModel:
    """A model on its device.

    vocab_size: rows of its head. seq_length: positions that it takes. positions: of a full batch.
    """

    def __init__(self, model: torch.nn.Module, seq_length: int, device: torch.device):
        self.model = model
        self.seq_length = seq_length
        self.device = device
        self.vocab_size, width = model.get_output_embeddings().weight.shape
        self.positions = BATCH_POSITIONS[device.type]
        if device.type == "cpu":
            self.positions = min(self.positions, CPU_HIDDEN_VALUES // width)
        self._split = self._body_and_head_are_the_model()

    def batches(self, positions: np.ndarray) -> list[np.ndarray]:
        """Items from the longest to the shortest, cut where a padded batch would be too large."""
        order = np.argsort(-positions, kind="stable")
        found, start = [], 0
        while start < len(order):
            size = max(1, self.positions // int(positions[order[start]]))
            found.append(order[start : start + size])
            start += size
        return found

    def of_batch(self, texts, asked, labels) -> list[np.ndarray]:
        """-log p of `labels` behind the positions `asked` of each text, nats, float32."""
        if not sum(map(len, asked)):
            return [np.zeros(0, np.float32) for _ in asked]
        hidden, targets = self.hidden(texts, asked), np.concatenate(labels)
        found = [
            self.losses(self.head(hidden[at]), targets[at]) for at in self.pieces(len(targets))
        ]
        flat = torch.cat(found).cpu().numpy()
        return np.split(flat, np.cumsum([len(where) for where in asked])[:-1])

    def hidden(self, texts, asked) -> torch.Tensor:
        """What the head reads at the positions `asked` of each text, [positions, size]."""
        tokens, _ = self.padded(texts)
        rows = np.repeat(np.arange(len(texts)), [len(where) for where in asked])
        places = torch.from_numpy(rows * tokens.shape[1] + np.concatenate(asked)).to(self.device)
        # Attention looks back only, so that what is padded behind a text needs no mask; without
        # one it is quicker.
        return self.run(tokens, use_cache=False)[0].flatten(0, 1)[places]

    def pieces(self, number: int) -> list[slice]:
        """Positions whose logits are in memory at once."""
        size = max(1, HEAD_VALUES[self.device.type] // self.vocab_size)
        return [slice(at, at + size) for at in range(0, number, size)]

    def losses(self, logits: torch.Tensor, labels: np.ndarray) -> torch.Tensor:
        """-log p of `labels` [n] by `logits` [n, vocabulary], float32 [n]."""
        ids = torch.from_numpy(np.asarray(labels, np.int64)).to(self.device)
        return torch.nn.functional.cross_entropy(logits.float(), ids, reduction="none")

    def run(self, tokens: torch.Tensor, **options: Any) -> tuple[torch.Tensor, Any]:
        """What the head turns into logits, or the logits where the two are not apart; the cache."""
        if self._split:
            out = self.model.base_model(tokens, **options)
            return out.last_hidden_state, out.past_key_values if options["use_cache"] else None
        out = self.model(tokens, **options)
        return out.logits, out.past_key_values if options["use_cache"] else None

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of what `run` gave."""
        return self.model.get_output_embeddings()(hidden) if self._split else hidden

    def padded(self, texts: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and what of them is text, int64 [n, longest] each."""
        longest = max(map(len, texts))
        tokens = np.zeros((len(texts), longest), dtype=np.int64)
        seen = np.zeros((len(texts), longest), dtype=np.int64)
        for number, text in enumerate(texts):
            tokens[number, : len(text)] = text
            seen[number, : len(text)] = 1
        return torch.from_numpy(tokens).to(self.device), torch.from_numpy(seen).to(self.device)

    @torch.inference_mode()
    def is_causal(self) -> bool:
        """Whether logits depend on what stands before them alone, tried on two short texts."""
        tokens = torch.arange(12, device=self.device).reshape(2, 6) % self.vocab_size
        tokens[1, :3] = tokens[0, :3]
        out = self.model(tokens, use_cache=False).logits[:, :3]
        rounding = 4 * torch.finfo(out.dtype).eps * out.abs().max().item()
        return torch.allclose(out[0].float(), out[1].float(), rtol=0, atol=rounding)

    @torch.inference_mode()
    def _body_and_head_are_the_model(self) -> bool:
        tokens = torch.arange(6, device=self.device)[None] % self.vocab_size
        whole = self.model(tokens, use_cache=False).logits
        self._split = True
        try:
            parts = self.head(self.run(tokens, use_cache=False)[0])
        except (AttributeError, TypeError, RuntimeError):
            return False
        return parts.shape == whole.shape and torch.allclose(parts, whole, rtol=1e-5, atol=1e-5)
