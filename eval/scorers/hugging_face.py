"""A causal language model of transformers as a scorer, in the precision that is asked for.

Texts of like length make a batch, so that little of it is padding; what batches are run by is
`LoadedModel`. `continuations` keeps keys and values of a prefix for all that follows it, where
trying that once gives what the whole texts give.
"""

from collections.abc import Sequence

import numpy as np
import torch

from eval.scorers.endings import Endings
from eval.scorers.loaded import LoadedModel
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.data.sequences import PackedSequence


class HuggingFaceScorer(LoadedModel):
    """A loaded model that scores. It knows how to batch and to share prefixes."""

    def __init__(self, model: torch.nn.Module, seq_length: int, device: torch.device):
        super().__init__(model, seq_length, device)
        self.endings = Endings(self)

    @torch.inference_mode()
    def nll(self, sequence: PackedSequence) -> np.ndarray:
        """-log p(labels[t]), nats, float32 [s]; 0 where `loss_mask` is."""
        texts, asked, labels = _segments(sequence)
        return _in_sequence(sequence, np.concatenate(self.of_batch(texts, asked, labels)))

    @torch.inference_mode()
    def guided(self, told: PackedSequence, untold: PackedSequence, strength: float) -> np.ndarray:
        """As `Scorer.guided`."""
        (texts, asked, labels), (others, places, _) = _segments(told), _segments(untold)
        first, second = self.hidden(texts, asked), self.hidden(others, places)
        targets = np.concatenate(labels)
        found = [
            self.losses(
                torch.lerp(self.head(second[at]).float(), self.head(first[at]).float(), strength),
                targets[at],
            )
            for at in self.pieces(len(targets))
        ]
        return _in_sequence(told, torch.cat(found).cpu().numpy())

    @torch.inference_mode()
    def continuations(
        self, prefixes: Sequence[np.ndarray], endings: Sequence[Sequence[np.ndarray]]
    ) -> list[list[np.ndarray]]:
        """-log p of each token of each ending, nats, float64; prefixes run once each."""
        return self.endings.losses(prefixes, endings)

    @torch.inference_mode()
    def hidden_means(
        self,
        texts: Sequence[np.ndarray],
        places: Sequence[np.ndarray],
        progress: Progress = no_progress,
    ) -> np.ndarray:
        """As `HiddenStates.hidden_means`."""
        out, done = None, 0
        for batch in self.batches(np.array([len(text) for text in texts])):
            tokens, _ = self.padded([texts[p] for p in batch])
            states = self.model.base_model(tokens, output_hidden_states=True, use_cache=False)
            weights = torch.zeros(tokens.shape, device=self.device)
            for row, place in enumerate(batch.tolist()):
                weights[row, torch.from_numpy(places[place]).to(self.device)] = 1 / len(
                    places[place]
                )
            means = torch.stack([
                torch.einsum("nt,ntd->nd", weights, layer.float()) for layer in states.hidden_states
            ]).cpu().numpy()  # fmt: skip
            if out is None:
                out = np.zeros((len(means), len(texts), means.shape[-1]), np.float32)
            out[:, batch] = means
            done += len(batch)
            progress("hidden states", done, len(texts))
        return out

    @torch.inference_mode()
    def greedy(self, texts: Sequence[np.ndarray], asked: Sequence[np.ndarray]) -> np.ndarray:
        """As `HiddenStates.greedy`."""
        right = np.ones(len(texts), dtype=bool)
        for batch in self.batches(np.array([len(text) for text in texts])):
            mine = [texts[p] for p in batch], [asked[p] for p in batch]
            hidden = self.hidden(*mine)
            best = [self.head(hidden[at]).argmax(-1) for at in self.pieces(len(hidden))]
            wanted = np.concatenate([text[at + 1] for text, at in zip(*mine, strict=True)])
            same = torch.cat(best).cpu().numpy() == wanted
            ends = np.cumsum([len(at) for at in mine[1]])[:-1]
            right[batch] = [part.all() for part in np.split(same, ends)]
        return right


def _segments(
    sequence: PackedSequence,
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Tokens of each text of a sequence, positions whose label has a loss, and those labels."""
    of_text, wanted = sequence.segment_ids >= 0, sequence.loss_mask > 0
    borders = zip(sequence.cu_seqlens[:-1], sequence.cu_seqlens[1:], strict=True)
    segments = [slice(a, b) for a, b in borders if of_text[a]]
    asked = [np.flatnonzero(wanted[s]) for s in segments]
    labels = [sequence.labels[s][where] for s, where in zip(segments, asked, strict=True)]
    return [sequence.tokens[s] for s in segments], asked, labels


def _in_sequence(sequence: PackedSequence, values: np.ndarray) -> np.ndarray:
    """Values of the labels that have a loss, at their places; 0 elsewhere."""
    out = np.zeros(len(sequence.tokens), dtype=np.float32)
    out[sequence.loss_mask > 0] = values
    return out
