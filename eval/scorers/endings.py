"""What follows a prefix, by a model of transformers: what is alike runs once.

What several prefixes begin with, as solved examples, runs once for all of them, and its keys and
values are kept. The rest of a prefix and all its endings stand in one row and one run, where trying
that once gives what the whole texts give.
"""

import copy
from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from eval.scorers.beginnings import alike
from eval.scorers.loaded import LoadedModel

# A group saves as much as this part of a full batch at least: it takes a run or two more, and
# leaves smaller batches. At 32, questions of 18 countries were slower than without groups.
RUNS = 4


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
        groups = [(np.arange(len(prefixes)), 0)]
        if self._can_share():
            groups = alike(prefixes, max(1, self._of.positions // RUNS))
        for members, common in groups:
            cache = self._kept(prefixes[members[0]][:common]) if common else None
            for chosen in self._of.batches(cost[members]):
                places = members[chosen]
                mine = [prefixes[p] for p in places], [endings[p] for p in places]
                answers = self._together(*mine, cache) if self.shares else self._apart(*mine)
                for place, answer in zip(places, answers, strict=True):
                    found[place] = answer
        return found

    def _kept(self, beginning: np.ndarray):
        """Keys and values of ids [n], as transformers' cache of one row."""
        ids = torch.from_numpy(np.asarray(beginning, np.int64)[None]).to(self._of.device)
        return self._of.run(ids, use_cache=True)[1]

    def _together(self, prefixes, endings, cache=None) -> list[list[np.ndarray]]:
        """Prefix and all its endings in one row and one run.

        Each ending sees the prefix and itself, and begins at the place behind the prefix.
        cache: of what all prefixes begin with, at most all but the last token of the shortest.
        """
        common = 0 if cache is None else cache.get_seq_length()
        tokens, _ = self._of.padded([
            np.concatenate([prefix[common:], *(ending[:-1] for ending in of)])
            for prefix, of in zip(prefixes, endings, strict=True)
        ])  # fmt: skip
        part = np.full(tokens.shape, -1)
        place = np.zeros(tokens.shape, np.int64)
        last, fed = [], np.zeros(tokens.shape, bool)
        for row, (prefix, of) in enumerate(zip(prefixes, endings, strict=True)):
            sizes = [len(ending) - 1 for ending in of]
            stop = len(prefix) - common
            end = stop + sum(sizes)
            part[row, :end] = np.repeat(np.arange(len(of) + 1), [stop, *sizes])
            place[row, :end] = np.concatenate([
                np.arange(stop), *(stop + np.arange(size) for size in sizes)
            ])  # fmt: skip
            fed[row, stop:end] = True
            last.append(stop - 1)
        options: dict = {"use_cache": False}
        if cache is not None:
            cache = copy.deepcopy(cache)
            cache.batch_repeat_interleave(len(prefixes))
            options = {"use_cache": True, "past_key_values": cache}
        hidden, _ = self._of.run(
            tokens,
            position_ids=torch.from_numpy(place + common).to(self._of.device),
            attention_mask=self._mask(part, common),
            **options,
        )
        flat = [ending for of in endings for ending in of]
        # An ending's first token is told by the prefix's last one, which all its endings share.
        first = self._next_tokens(
            hidden[np.arange(len(prefixes)), last],
            np.repeat(np.arange(len(prefixes)), [len(of) for of in endings]),
            np.array([ending[0] for ending in flat]),
        )
        behind = hidden[torch.from_numpy(fed).to(self._of.device)]
        labels = np.concatenate([ending[1:] for ending in flat])
        rest = [
            self._of.losses(self._of.head(behind[at]), labels[at])
            for at in self._of.pieces(len(labels))
        ]
        losses = torch.cat([first, *rest]).double().cpu().numpy()
        ends = np.cumsum([len(ending) - 1 for ending in flat])[:-1]
        numbers = iter(
            np.concatenate([[one], more])
            for one, more in zip(losses, np.split(losses[len(flat) :], ends), strict=False)
        )
        return [[next(numbers) for _ in of] for of in endings]

    def _next_tokens(
        self, hidden: torch.Tensor, rows: np.ndarray, labels: np.ndarray
    ) -> torch.Tensor:
        """-log p of `labels` [n] behind hidden states [rows, size], float32; `rows` ascends."""
        found = []
        for at in self._of.pieces(len(hidden)):
            here = slice(*np.searchsorted(rows, [at.start, at.stop]))
            logits = self._of.head(hidden[at]).float()
            mine = rows[here] - at.start
            found.append(logits.logsumexp(-1)[mine] - logits[mine, labels[here]])
        return torch.cat(found)

    def _mask(self, part: np.ndarray, common: int) -> torch.Tensor:
        """What each token of a row sees, as numbers that are added to attention's scores.

        part: 0 of a prefix, else the number of an ending [n, s]; -1 is padding. common: tokens in
        front of the row, which all see. Returns [n, 1, s, common + s].
        """
        parts = torch.from_numpy(part).to(self._of.device)
        size = parts.shape[1]
        earlier = torch.ones(size, size, dtype=torch.bool, device=self._of.device).tril()
        seen = ((parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)) & earlier
        dtype = next(self._of.model.parameters()).dtype
        mask = torch.zeros(len(part), 1, size, common + size, dtype=dtype, device=self._of.device)
        mask[..., common:].masked_fill_(~seen[:, None], torch.finfo(dtype).min)
        return mask

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
            ids = [rng.integers(self._of.vocab_size, size=n) for n in (5, 3, 2, 1, 4, 16)]
            mine = [np.concatenate([ids[5], text]) for text in ids[:2]], [ids[2:4], ids[3:5]]
            try:
                found = self._together(*mine) + self._together(*mine, self._kept(ids[5]))
            except Exception:  # whatever a model of somebody else's makes of a cache
                self.shares = False
            else:
                apart = self._apart(*mine)
                pairs = zip(chain(*found), chain(*apart, *apart), strict=True)
                near = 1e-4 if next(self._of.model.parameters()).dtype == torch.float32 else 5e-2
                self.shares = all(np.allclose(a, b, rtol=near, atol=near) for a, b in pairs)
        return self.shares
