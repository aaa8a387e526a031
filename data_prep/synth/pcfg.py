"""Documents of a probabilistic grammar whose latent is known, to study when metadata help.

After "When Does Metadata Conditioning (NOT) Work" (arXiv 2504.17562), but with sets of rules that
overlap, so that what a prompt tells of the latent grows with its length. Each of `levels` levels
has a latent bit. A symbol of a level becomes two or three symbols of the next by one of two rules,
and the bit says which of them is the likelier. The last level's symbols become words. A document is
a prompt, its title, of some sentences and a body of others, all of one latent. The bit of the first
level shows once a sentence, that of the last many times. Document i depends on (seed, i) alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_prep.synth.config import Synth
from data_prep.synth.corpus import INSTRUCTION_FILES, QUESTIONS_FILE, remove_stale
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import keep, make_folder, partial_file, writing
from geo_nemo.common.progress import Progress, no_progress

NAME, SUMMARY = "news.jsonl.gz", "synth.json"
SYMBOLS = 3
_LENGTHS = (2, 3)  # of the two rules of a symbol
WORDS = ("ba", "de", "fi", "go", "ku", "la", "me", "no", "pi")
# Of each symbol, its two rules, of symbols of the next level.
Level = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


class Grammar:
    """Rules of every level, and the mean length of a sentence.

    likely: probability of the rule that the level's bit names. again: that a word is followed by a
    whole sentence more. Raises UserError where sentences would not end.
    """

    def __init__(self, levels: int, likely: float, again: float, seed: int):
        self.levels, self.likely, self.again = levels, likely, again
        random = np.random.default_rng([seed, 1])
        self.rules = [_level(random, last=number == levels - 1) for number in range(levels)]
        # Of the latent whose sentences are longest: all bits name the longer rule.
        short, long = _LENGTHS
        self.words = (likely * long + (1 - likely) * short) ** levels
        if again * self.words >= 1:
            raise UserError(
                f"again={again:g}: a grammar that does not end, for a sentence of {self.words:.0f} "
                f"words begins {again * self.words:.2f} others: give again below "
                f"{1 / self.words:.2g}"
            )

    def sentence(self, latent: tuple[int, ...], random: np.random.Generator) -> list[str]:
        """Words of one sentence."""
        # A list of symbols to expand, and not a call of itself: a sentence may hold many others.
        left, words = [(0, 0)], []
        while left:
            level, symbol = left.pop()
            if level == self.levels:
                words.append(WORDS[symbol])
                if self.again and random.random() < self.again:
                    left.append((0, 0))
                continue
            bit = latent[level] if random.random() < self.likely else 1 - latent[level]
            rule = self.rules[level][symbol][bit]
            left += [(level + 1, child) for child in reversed(rule)]
        return words


def _level(random: np.random.Generator, last: bool) -> Level:
    kinds = len(WORDS) if last else SYMBOLS
    short, long = (random.integers(kinds, size=(SYMBOLS, n)).tolist() for n in _LENGTHS)
    return tuple((tuple(a), tuple(b)) for a, b in zip(short, long, strict=True))


def records(config: Synth) -> Iterator[dict[str, str]]:
    """The documents, as lines of the corpus."""
    grammar = Grammar(config.levels, config.likely, config.again, config.seed)
    for number in range(config.documents):
        random = np.random.default_rng([config.seed, 2, number])
        latent = tuple(random.integers(2, size=config.levels).tolist())
        prompt = config.prompts[int(random.integers(len(config.prompts)))]
        text = [
            " ".join(grammar.sentence(latent, random)) for _ in range(prompt + config.sentences)
        ]
        name = f"p{config.seed}-{number:08d}"
        yield {
            "id": name,
            "url": f"https://grammar.co.uk/{name}",
            "title": ". ".join(text[:prompt]) + ".",
            "text": ". ".join(text[prompt:]) + ".",
            "country": "gb",
            "continent": "Europe",
            "prompt": str(prompt),
            **{f"level{level + 1}": "ab"[value] for level, value in enumerate(latent)},
        }


def write_pcfg(config: Synth, progress: Progress = no_progress) -> dict[str, Any]:
    """Write the corpus into `config.output`, and return the content of its `synth.json`.

    Raises UserError for a grammar that does not end, before anything is written.
    """
    grammar = Grammar(config.levels, config.likely, config.again, config.seed)
    folder = Path(config.output)
    make_folder(folder)
    words = 0
    with partial_file(folder / NAME) as out:
        for number, record in enumerate(records(config)):
            words += len(record["title"].split()) + len(record["text"].split())
            out.write(orjson.dumps(record) + b"\n")
            if number % 1000 == 0:
                progress("synth", number, config.documents)
    with writing(folder / SUMMARY):
        (folder / SUMMARY).unlink(missing_ok=True)
    keep(folder / NAME)
    remove_stale(folder, {NAME})
    for name in (QUESTIONS_FILE, *INSTRUCTION_FILES.values()):
        with writing(folder / name):  # of the corpus that was there
            (folder / name).unlink(missing_ok=True)
    summary = {
        "kind": config.kind,
        "config": config.model_dump(exclude={"output", "workers"}),
        "latents": 2**config.levels,
        "most_words_a_sentence": grammar.words,
        "words": words,
        "files": [{"path": NAME}],
    }
    with partial_file(folder / SUMMARY) as out:
        out.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    keep(folder / SUMMARY)
    return summary
