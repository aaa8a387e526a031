"""How much a text reads like an article: 0 to 100, from counts alone.

Eight signals, each from 0 to 1, of which the weighted geometric mean is taken, so that one bad sign
is not outweighed by many good ones (none counts below 0.05). A signal is 1 in a range, and falls
linearly (the length: with its logarithm) to 0 at a bound:

| signal      | weight | measure                                              | 0 at   | 1 from  |
|-------------|--------|------------------------------------------------------|--------|---------|
| length      | 0.20   | characters, one of a script without spaces for three | 50     | 1,500   |
| word_length | 0.10   | mean characters of a word [G]                        | 3, 10  | 4 to 7  |
| letters     | 0.20   | letters, of what is no white space [G]               | 0.5    | 0.9     |
| function    | 0.15   | distinct ones of eight English function words [G]    | 0      | 3       |
| sentences   | 0.15   | characters in lines that end as sentences do [C, F]  | 0      | 0.8     |
| variety     | 0.10   | log of distinct words by log of words (Herdan's C)   | 0.6    | 0.82    |
| repetition  | 0.05   | characters in lines that were there before [G, F]    | 0.2    | 0       |
| symbols     | 0.05   | # | < > { } \\ ^ ~ … and ... , by word [G]            | 0.1    | 0       |

Of a longer text, the first and last 768 characters are looked at, so that it costs no more than
a short one, and its foot is seen. Words are runs between white space; word_length, function and
variety look at the first 600 characters, as variety falls with length. English is meant: where the
language is known to be another, `function` is 1 for all texts; where it is not known, compare
qualities within a language only. A script without spaces (Chinese, Thai) has 1 in all three.

[G] Rae et al. 2021 (Gopher), arXiv 2112.11446, A.1.1: mean word length 3 to 10, 80% of words with a
letter, two of eight stop words, at most 0.1 # and ... a word, at most 20% of characters in
duplicate lines. [C] Raffel et al. 2020 (C4), JMLR 21(140), 2.2: lines that end in terminal
punctuation. [F] Penedo et al. 2024 (FineWeb), arXiv 2406.17557: at least 12% of such lines.
Herdan, Type-token Mathematics, 1960. Bounds at 1, weights and the mean are this project's choice;
nobody has tuned them on a model.
"""

from collections.abc import Sequence

import numpy as np

from data_prep.annotate.measures import Excerpt, Measures, measures

FLOOR = 0.05
# In the order of the table, as are the fields of Measures.
_WEIGHTS = np.array([0.20, 0.10, 0.20, 0.15, 0.15, 0.10, 0.05, 0.05])


def qualities(excerpts: Sequence[Excerpt]) -> list[int]:
    """Qualities of 1 to MOST_TEXTS texts, 0 to 100."""
    return score(measures(excerpts)).tolist()


def score(of: Measures) -> np.ndarray:
    """uint8 [n]: the weighted geometric mean of the signals, times 100, rounded."""
    signals = np.array(
        [
            np.log(np.maximum(of.length, 50) / 50) / np.log(1500 / 50),
            np.minimum(of.word_length - 3, (10 - of.word_length) / 3),
            (of.letters - 0.5) / 0.4,
            of.function / 3,
            of.sentences / 0.8,
            (of.variety - 0.6) / 0.22,
            1 - of.repetition / 0.2,
            1 - of.symbols / 0.1,
        ]
    )
    # A measure that says nothing is neither good nor bad.
    logs = np.log(np.clip(np.nan_to_num(signals, nan=1.0), FLOOR, 1.0))
    return np.rint(100 * np.exp((_WEIGHTS[:, None] * logs).sum(axis=0))).astype(np.uint8)
