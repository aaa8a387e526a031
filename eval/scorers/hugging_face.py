"""A causal language model of transformers as a scorer, in the precision that is asked for.

1. Texts of like length make a batch, so that little of it is padding.
2. The model's body runs over the batch; its head only where a label is asked for, a piece at a
   time, so that a large vocabulary needs no [batch, length, vocabulary] in memory. Whether that
   gives the model's own logits is tried once, when it is loaded; otherwise it runs as it is.
3. `continuations` keeps keys and values of a prefix for all that follows it, where trying that once
   gives what the whole texts give.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.data.sequences import PackedSequence

# Positions of a batch on a CPU: more leaves its caches. On a GPU many fill it.
BATCH_POSITIONS = {"cpu": 2048, "cuda": 65_536}
# Logits at once, in numbers.
HEAD_VALUES = {"cpu": 2_000_000, "cuda": 512_000_000}
# Fewer tokens at the beginning of all texts are not worth a run of their own.
LEAST_COMMON = 16


class HuggingFaceScorer:
    """A loaded model. vocab_size: rows of its head. It knows how to batch and to share prefixes."""

    def __init__(self, model: torch.nn.Module, seq_length: int, device: torch.device):
        self.model = model
        self.seq_length = seq_length
        self.device = device
        self.vocab_size = model.get_output_embeddings().weight.shape[0]
        self._split = self._body_and_head_are_the_model()
        self._shares = None

    def batches(self, positions: np.ndarray) -> list[np.ndarray]:
        """Items from the longest to the shortest, cut where a padded batch would be too large."""
        order = np.argsort(-positions, kind="stable")
        most = BATCH_POSITIONS[self.device.type]
        found, start = [], 0
        while start < len(order):
            size = max(1, most // int(positions[order[start]]))
            found.append(order[start : start + size])
            start += size
        return found

    @torch.inference_mode()
    def nll(self, sequence: PackedSequence) -> np.ndarray:
        """-log p(labels[t]), nats, float32 [s]; 0 where `loss_mask` is."""
        texts, asked, labels = _segments(sequence)
        return _in_sequence(sequence, np.concatenate(self._of_batch(texts, asked, labels)))

    @torch.inference_mode()
    def guided(self, told: PackedSequence, untold: PackedSequence, strength: float) -> np.ndarray:
        """As `Scorer.guided`."""
        (texts, asked, labels), (others, places, _) = _segments(told), _segments(untold)
        first, second = self._hidden(texts, asked), self._hidden(others, places)
        targets = np.concatenate(labels)
        found = [
            self._losses(
                torch.lerp(self._head(second[at]).float(), self._head(first[at]).float(), strength),
                targets[at],
            )
            for at in self._pieces(len(targets))
        ]
        return _in_sequence(told, torch.cat(found).cpu().numpy())

    @torch.inference_mode()
    def continuations(
        self, prefixes: Sequence[np.ndarray], endings: Sequence[Sequence[np.ndarray]]
    ) -> list[list[np.ndarray]]:
        """-log p of each token of each ending, nats, float64; prefixes run once each."""
        cost = np.array([
            len(prefix) + sum(map(len, of)) for prefix, of in zip(prefixes, endings, strict=True)
        ])  # fmt: skip
        found: list[list[np.ndarray]] = [[] for _ in prefixes]
        for places in self.batches(cost):
            mine = [prefixes[p] for p in places], [endings[p] for p in places]
            if not self._can_share():
                answers = self._apart(*mine)
            elif _common(mine[0]):
                answers = self._shared(*mine)
            else:
                answers = self._together(*mine)
            for place, answer in zip(places, answers, strict=True):
                found[place] = answer
        return found

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
            tokens, _ = self._padded([texts[p] for p in batch])
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
            hidden = self._hidden(*mine)
            best = [self._head(hidden[at]).argmax(-1) for at in self._pieces(len(hidden))]
            wanted = np.concatenate([text[at + 1] for text, at in zip(*mine, strict=True)])
            same = torch.cat(best).cpu().numpy() == wanted
            ends = np.cumsum([len(at) for at in mine[1]])[:-1]
            right[batch] = [part.all() for part in np.split(same, ends)]
        return right

    def _shared(self, prefixes, endings) -> list[list[np.ndarray]]:
        """Keys and values of a prefix are kept; behind it stand all its endings in one sequence.

        What all prefixes begin with, as solved examples, runs once for all of them. Each ending
        sees the prefix and itself, and begins at the place behind the prefix.
        """
        count = len(prefixes)
        lengths = torch.tensor([len(prefix) for prefix in prefixes], device=self.device)
        common = _common(prefixes)
        tokens, _ = self._padded([prefix[common:] for prefix in prefixes])
        cache = None
        if common:
            start = torch.from_numpy(np.asarray(prefixes[0][:common], np.int64)[None])
            _, cache = self._run(start.to(self.device), use_cache=True)
            cache.batch_repeat_interleave(count)
        hidden, cache = self._run(tokens, past_key_values=cache, use_cache=True)
        last = lengths - common - 1
        first = self._head(hidden[torch.arange(count, device=self.device), last])
        flat = [ending for of in endings for ending in of]
        owner = np.repeat(np.arange(count), [len(of) for of in endings])
        rows = torch.from_numpy(owner).to(self.device)
        losses = self._losses(first[rows], np.array([ending[0] for ending in flat])).double()
        values = [[loss] for loss in losses[:, None].cpu().numpy()]
        # The last token of an ending is read by nobody.
        fed, there = self._padded([np.concatenate([e[:-1] for e in of]) for of in endings])
        if fed.shape[1]:
            sizes = [[len(ending) - 1 for ending in of] for of in endings]
            part = torch.full(fed.shape, -1)
            place = torch.zeros(fed.shape, dtype=torch.long)
            for number, of in enumerate(sizes):
                counts = torch.tensor(of)
                part[number, : sum(of)] = torch.arange(len(of)).repeat_interleave(counts)
                place[number, : sum(of)] = torch.cat([torch.arange(n) for n in of])
            part, place = part.to(self.device), place.to(self.device)
            hidden, _ = self._run(
                fed, past_key_values=cache, use_cache=True,
                attention_mask=self._behind(lengths, common + tokens.shape[1], part),
                position_ids=lengths[:, None] + place,
            )  # fmt: skip
            labels = np.concatenate([ending[1:] for ending in flat])
            rest = self._losses(self._head(hidden[there.bool()]), labels).double().cpu().numpy()
            ends = np.cumsum([len(ending) - 1 for ending in flat])[:-1]
            for mine, more in zip(values, np.split(rest, ends), strict=True):
                mine.append(more)
        numbers = iter([np.concatenate(mine) for mine in values])
        return [[next(numbers) for _ in of] for of in endings]

    def _together(self, prefixes, endings) -> list[list[np.ndarray]]:
        """Prefix and all its endings in one row and one run, without a cache.

        Each ending sees the prefix and itself, and begins at the place behind the prefix.
        """
        tokens, _ = self._padded([
            np.concatenate([prefix, *(ending[:-1] for ending in of)])
            for prefix, of in zip(prefixes, endings, strict=True)
        ])  # fmt: skip
        part = np.full(tokens.shape, -1)
        place = np.zeros(tokens.shape, np.int64)
        owner, last, fed = [], [], np.zeros(tokens.shape, bool)
        for row, (prefix, of) in enumerate(zip(prefixes, endings, strict=True)):
            sizes = [len(ending) - 1 for ending in of]
            stop, end = len(prefix), len(prefix) + sum(sizes)
            part[row, :end] = np.repeat(np.arange(len(of) + 1), [stop, *sizes])
            place[row, :end] = np.concatenate([
                np.arange(stop), *(stop + np.arange(size) for size in sizes)
            ])  # fmt: skip
            fed[row, stop:end] = True
            owner += [row] * len(of)
            last += [stop - 1] * len(of)
        parts = torch.from_numpy(part).to(self.device)
        size = tokens.shape[1]
        earlier = torch.ones(size, size, dtype=torch.bool, device=self.device).tril()
        seen = ((parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)) & earlier
        dtype = next(self.model.parameters()).dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=self.device)
        hidden, _ = self._run(
            tokens, use_cache=False, position_ids=torch.from_numpy(place).to(self.device),
            attention_mask=mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None],
        )  # fmt: skip
        flat = [ending for of in endings for ending in of]
        # An ending's first token is told by the prefix's last one, the others by its own.
        behind = torch.cat([
            hidden[owner, last], hidden[torch.from_numpy(fed).to(self.device)]
        ])  # fmt: skip
        labels = np.concatenate([[e[0] for e in flat], *(e[1:] for e in flat)])
        losses = torch.cat([
            self._losses(self._head(behind[at]), labels[at]) for at in self._pieces(len(labels))
        ]).double().cpu().numpy()  # fmt: skip
        ends = np.cumsum([len(ending) - 1 for ending in flat])[:-1]
        rest = np.split(losses[len(flat) :], ends)
        numbers = iter(
            np.concatenate([[first], more]) for first, more in zip(losses, rest, strict=False)
        )
        return [[next(numbers) for _ in of] for of in endings]

    def _behind(self, lengths: torch.Tensor, longest: int, part: torch.Tensor) -> torch.Tensor:
        """What each token of the endings sees, as numbers that are added to attention's scores.

        lengths: of prefixes [n], which are padded to `longest`. part: the ending of each token
        [n, s]; -1 is padding. Returns [n, 1, s, longest + s].
        """
        size = part.shape[1]
        before = torch.arange(longest, device=self.device)[None] < lengths[:, None]
        before = before[:, None].expand(-1, size, -1)
        earlier = torch.ones(size, size, dtype=torch.bool, device=self.device).tril()
        own = (part[:, :, None] == part[:, None, :]) & earlier
        dtype = next(self.model.parameters()).dtype
        mask = torch.zeros(len(part), 1, size, longest + size, dtype=dtype, device=self.device)
        return mask.masked_fill_(~torch.cat([before, own], -1)[:, None], torch.finfo(dtype).min)

    def _apart(self, prefixes, endings) -> list[list[np.ndarray]]:
        """Each ending with its prefix anew, for models without such a cache."""
        values = []
        for prefix, of in zip(prefixes, endings, strict=True):
            texts = [np.concatenate([prefix, ending[:-1]]) for ending in of]
            asked = [np.arange(len(prefix) - 1, len(text)) for text in texts]
            values.append([v.astype(np.float64) for v in self._of_batch(texts, asked, of)])
        return values

    def _can_share(self) -> bool:
        """Whether a prefix that is kept gives what the whole text gives; tried once.

        A window that slides over long prefixes would not be met by the trial, and is refused.
        """
        if getattr(self.model.config, "sliding_window", None):
            return False
        if self._shares is None:
            rng = np.random.default_rng(0)
            ids = [rng.integers(self.vocab_size, size=n) for n in (5, 3, 2, 1, 4)]
            start = rng.integers(self.vocab_size, size=LEAST_COMMON)
            ids[:2] = (np.concatenate([start, text]) for text in ids[:2])
            try:
                mine = self._shared(ids[:2], [ids[2:4], ids[3:]])
                mine += self._together(ids[:2], [ids[2:4], ids[3:]])
            except Exception:  # whatever a model of somebody else's makes of a cache
                self._shares = False
            else:
                apart = self._apart(ids[:2], [ids[2:4], ids[3:]])
                pairs = zip(chain(*mine), chain(*apart, *apart), strict=True)
                near = 1e-4 if next(self.model.parameters()).dtype == torch.float32 else 5e-2
                self._shares = all(np.allclose(a, b, rtol=near, atol=near) for a, b in pairs)
        return self._shares

    def _of_batch(self, texts, asked, labels) -> list[np.ndarray]:
        """-log p of `labels` behind the positions `asked` of each text, nats, float32."""
        if not sum(map(len, asked)):
            return [np.zeros(0, np.float32) for _ in asked]
        hidden, targets = self._hidden(texts, asked), np.concatenate(labels)
        found = [
            self._losses(self._head(hidden[at]), targets[at]) for at in self._pieces(len(targets))
        ]
        flat = torch.cat(found).cpu().numpy()
        return np.split(flat, np.cumsum([len(where) for where in asked])[:-1])

    def _hidden(self, texts, asked) -> torch.Tensor:
        """What the head reads at the positions `asked` of each text, [positions, size]."""
        tokens, _ = self._padded(texts)
        rows = np.repeat(np.arange(len(texts)), [len(where) for where in asked])
        places = torch.from_numpy(rows * tokens.shape[1] + np.concatenate(asked)).to(self.device)
        # Attention looks back only, so that what is padded behind a text needs no mask; without
        # one it is quicker.
        return self._run(tokens, use_cache=False)[0].flatten(0, 1)[places]

    def _pieces(self, number: int) -> list[slice]:
        """Positions whose logits are in memory at once."""
        size = max(1, HEAD_VALUES[self.device.type] // self.vocab_size)
        return [slice(at, at + size) for at in range(0, number, size)]

    def _losses(self, logits: torch.Tensor, labels: np.ndarray) -> torch.Tensor:
        ids = torch.from_numpy(np.asarray(labels, np.int64)).to(self.device)
        return torch.nn.functional.cross_entropy(logits.float(), ids, reduction="none")

    def _run(self, tokens: torch.Tensor, **options: Any) -> tuple[torch.Tensor, Any]:
        """What the head turns into logits, or the logits where the two are not apart; the cache."""
        if self._split:
            out = self.model.base_model(tokens, **options)
            return out.last_hidden_state, out.past_key_values if options["use_cache"] else None
        out = self.model(tokens, **options)
        return out.logits, out.past_key_values if options["use_cache"] else None

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.model.get_output_embeddings()(hidden) if self._split else hidden

    def _padded(self, texts: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and what of them is text, int64 [n, longest] each."""
        longest = max(map(len, texts))
        tokens = np.zeros((len(texts), longest), dtype=np.int64)
        seen = np.zeros((len(texts), longest), dtype=np.int64)
        for number, text in enumerate(texts):
            tokens[number, : len(text)] = text
            seen[number, : len(text)] = 1
        return torch.from_numpy(tokens).to(self.device), torch.from_numpy(seen).to(self.device)

    @torch.inference_mode()
    def _body_and_head_are_the_model(self) -> bool:
        tokens = torch.arange(6, device=self.device)[None] % self.vocab_size
        whole = self.model(tokens, use_cache=False).logits
        self._split = True
        try:
            parts = self._head(self._run(tokens, use_cache=False)[0])
        except (AttributeError, TypeError, RuntimeError):
            return False
        return parts.shape == whole.shape and torch.allclose(parts, whole, rtol=1e-5, atol=1e-5)


def _common(texts: Sequence[np.ndarray]) -> int:
    """Tokens that all texts begin with, but for the last of the shortest; 0 for one or for few."""
    shortest = min(map(len, texts))
    same = np.ones(shortest - 1, dtype=bool)
    for text in texts[1:]:
        same &= text[: shortest - 1] == texts[0][: shortest - 1]
    common = len(same) if same.all() else int(same.argmin())
    return common if len(texts) > 1 and common >= LEAST_COMMON else 0


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
