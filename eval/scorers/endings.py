"""What follows a prefix, by a model of transformers: the prefix runs once for all that follows.

Keys and values of prefixes are kept, or a prefix and all its endings stand in one row and one run,
where trying both once gives what the whole texts give.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from eval.scorers.loaded import LoadedModel

# Fewer tokens at the beginning of all texts are not worth a run of their own.
LEAST_COMMON = 16


class Endings:
    """Scores endings of prefixes by a loaded model.

    shares: whether prefixes can run once for all that follows them; None: not tried yet.
    """

    def __init__(self, model: LoadedModel):
        self._of = model
        self.shares: bool | None = None

    def losses(
        self, prefixes: Sequence[np.ndarray], endings: Sequence[Sequence[np.ndarray]]
    ) -> list[list[np.ndarray]]:
        """-log p of each token of each ending, nats, float64; prefixes run once each."""
        cost = np.array([
            len(prefix) + sum(map(len, of)) for prefix, of in zip(prefixes, endings, strict=True)
        ])  # fmt: skip
        found: list[list[np.ndarray]] = [[] for _ in prefixes]
        for places in self._of.batches(cost):
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

    def _shared(self, prefixes, endings) -> list[list[np.ndarray]]:
        """Keys and values of a prefix are kept; behind it stand all its endings in one sequence.

        What all prefixes begin with, as solved examples, runs once for all of them. Each ending
        sees the prefix and itself, and begins at the place behind the prefix.
        """
        count = len(prefixes)
        lengths = torch.tensor([len(prefix) for prefix in prefixes], device=self._of.device)
        common = _common(prefixes)
        tokens, _ = self._of.padded([prefix[common:] for prefix in prefixes])
        cache = None
        if common:
            start = torch.from_numpy(np.asarray(prefixes[0][:common], np.int64)[None])
            _, cache = self._of.run(start.to(self._of.device), use_cache=True)
            cache.batch_repeat_interleave(count)
        hidden, cache = self._of.run(tokens, past_key_values=cache, use_cache=True)
        last = lengths - common - 1
        first = self._of.head(hidden[torch.arange(count, device=self._of.device), last])
        flat = [ending for of in endings for ending in of]
        owner = np.repeat(np.arange(count), [len(of) for of in endings])
        rows = torch.from_numpy(owner).to(self._of.device)
        losses = self._of.losses(first[rows], np.array([ending[0] for ending in flat])).double()
        values = [[loss] for loss in losses[:, None].cpu().numpy()]
        # The last token of an ending is read by nobody.
        fed, there = self._of.padded([np.concatenate([e[:-1] for e in of]) for of in endings])
        if fed.shape[1]:
            sizes = [[len(ending) - 1 for ending in of] for of in endings]
            part = torch.full(fed.shape, -1)
            place = torch.zeros(fed.shape, dtype=torch.long)
            for number, of in enumerate(sizes):
                counts = torch.tensor(of)
                part[number, : sum(of)] = torch.arange(len(of)).repeat_interleave(counts)
                place[number, : sum(of)] = torch.cat([torch.arange(n) for n in of])
            part, place = part.to(self._of.device), place.to(self._of.device)
            hidden, _ = self._of.run(
                fed, past_key_values=cache, use_cache=True,
                attention_mask=self._behind(lengths, common + tokens.shape[1], part),
                position_ids=lengths[:, None] + place,
            )  # fmt: skip
            labels = np.concatenate([ending[1:] for ending in flat])
            rest = (
                self._of.losses(self._of.head(hidden[there.bool()]), labels).double().cpu().numpy()
            )
            ends = np.cumsum([len(ending) - 1 for ending in flat])[:-1]
            for mine, more in zip(values, np.split(rest, ends), strict=True):
                mine.append(more)
        numbers = iter([np.concatenate(mine) for mine in values])
        return [[next(numbers) for _ in of] for of in endings]

    def _together(self, prefixes, endings) -> list[list[np.ndarray]]:
        """Prefix and all its endings in one row and one run, without a cache.

        Each ending sees the prefix and itself, and begins at the place behind the prefix.
        """
        tokens, _ = self._of.padded([
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
        parts = torch.from_numpy(part).to(self._of.device)
        size = tokens.shape[1]
        earlier = torch.ones(size, size, dtype=torch.bool, device=self._of.device).tril()
        seen = ((parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)) & earlier
        dtype = next(self._of.model.parameters()).dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=self._of.device)
        hidden, _ = self._of.run(
            tokens, use_cache=False, position_ids=torch.from_numpy(place).to(self._of.device),
            attention_mask=mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None],
        )  # fmt: skip
        flat = [ending for of in endings for ending in of]
        # An ending's first token is told by the prefix's last one, the others by its own.
        behind = torch.cat([
            hidden[owner, last], hidden[torch.from_numpy(fed).to(self._of.device)]
        ])  # fmt: skip
        labels = np.concatenate([[e[0] for e in flat], *(e[1:] for e in flat)])
        found = [
            self._of.losses(self._of.head(behind[at]), labels[at])
            for at in self._of.pieces(len(labels))
        ]
        losses = torch.cat(found).double().cpu().numpy()
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
        before = torch.arange(longest, device=self._of.device)[None] < lengths[:, None]
        before = before[:, None].expand(-1, size, -1)
        earlier = torch.ones(size, size, dtype=torch.bool, device=self._of.device).tril()
        own = (part[:, :, None] == part[:, None, :]) & earlier
        dtype = next(self._of.model.parameters()).dtype
        mask = torch.zeros(len(part), 1, size, longest + size, dtype=dtype, device=self._of.device)
        return mask.masked_fill_(~torch.cat([before, own], -1)[:, None], torch.finfo(dtype).min)

    def _apart(self, prefixes, endings) -> list[list[np.ndarray]]:
        """Each ending with its prefix anew, for models without such a cache."""
        values = []
        for prefix, of in zip(prefixes, endings, strict=True):
            texts = [np.concatenate([prefix, ending[:-1]]) for ending in of]
            asked = [np.arange(len(prefix) - 1, len(text)) for text in texts]
            values.append([v.astype(np.float64) for v in self._of.of_batch(texts, asked, of)])
        return values

    def _can_share(self) -> bool:
        """Whether a prefix that is kept gives what the whole text gives; tried once.

        A window that slides over long prefixes would not be met by the trial, and is refused.
        """
        if getattr(self._of.model.config, "sliding_window", None):
            return False
        if self.shares is None:
            rng = np.random.default_rng(0)
            ids = [rng.integers(self._of.vocab_size, size=n) for n in (5, 3, 2, 1, 4)]
            start = rng.integers(self._of.vocab_size, size=LEAST_COMMON)
            ids[:2] = (np.concatenate([start, text]) for text in ids[:2])
            try:
                mine = self._shared(ids[:2], [ids[2:4], ids[3:]])
                mine += self._together(ids[:2], [ids[2:4], ids[3:]])
            except Exception:  # whatever a model of somebody else's makes of a cache
                self.shares = False
            else:
                apart = self._apart(ids[:2], [ids[2:4], ids[3:]])
                pairs = zip(chain(*mine), chain(*apart, *apart), strict=True)
                near = 1e-4 if next(self._of.model.parameters()).dtype == torch.float32 else 5e-2
                self.shares = all(np.allclose(a, b, rtol=near, atol=near) for a, b in pairs)
        return self.shares


def _common(texts: Sequence[np.ndarray]) -> int:
    """Tokens that all texts begin with, but for the last of the shortest; 0 for one or for few."""
    shortest = min(map(len, texts))
    same = np.ones(shortest - 1, dtype=bool)
    for text in texts[1:]:
        same &= text[: shortest - 1] == texts[0][: shortest - 1]
    common = len(same) if same.all() else int(same.argmin())
    return common if len(texts) > 1 and common >= LEAST_COMMON else 0
