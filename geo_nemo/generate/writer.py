"""Has a model write: transformers' generate, on prompts by the chat template.

A prompt of a conversation ends with the label of the answer; one of a document is continued.
Guidance is transformers' classifier-free guidance: log p = untold + scale * (told - untold).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from geo_nemo.common.characters import half_character
from geo_nemo.config import UserError
from geo_nemo.export.libraries import ANEW, line_of, render
from geo_nemo.export.loaded import Folder
from geo_nemo.generate.prompts import Prompt

# What can be done about the template of a model that geo_nemo did not train.
_OF_OTHERS = (
    "put the model's own chat_template.jinja into its folder, or give --document to have it go on "
    "with a text"
)
HALF = "the prompt holds half a character: give it in UTF-8"


@dataclass(frozen=True, slots=True)
class Options:
    """settings: of transformers' GenerationConfig. stop: texts at which writing ends.

    guidance: 1 is none. chat: an answer rather than a document that goes on.
    """

    settings: dict[str, Any]
    stop: tuple[str, ...] = ()
    guidance: float = 1.0
    chat: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """ended: `eos`, `stop` or `length`. tokens: how many were written."""

    text: str
    tokens: int
    ended: str


def _ends(tokenizer: Any, model: Any) -> int | list[int] | None:
    """Tokens at which writing ends: the tokenizer's, and others that the model's folder names."""
    named = model.generation_config.eos_token_id
    others = named if isinstance(named, list) else [named]
    found = [
        token for token in dict.fromkeys((tokenizer.eos_token_id, *others)) if token is not None
    ]
    return found if len(found) > 1 else next(iter(found), None)


class Writer:
    """A loaded model. max_length: tokens that it was made for."""

    def __init__(self, model: Any, tokenizer: Any, folder: Folder, options: Options):
        self.tokenizer = tokenizer
        self._model = model
        self._max_length = folder.max_length
        # Of a model that geo_nemo did not train a document is its text, and a template is for chat.
        self._has_documents = folder.policy is not None
        self._mend = ANEW if self._has_documents else _OF_OTHERS
        if options.chat and not (tokenizer.chat_template or self._has_documents):
            raise UserError(f"{folder.folder} has no chat template: {self._mend}")
        self.use(options)

    def use(self, options: Options) -> None:
        """From now on write with these; `UserError` where transformers does not take them."""
        from transformers import GenerationConfig

        self.options, tokenizer = options, self.tokenizer
        try:
            self._config = GenerationConfig.from_model_config(self._model.config)
            ends = _ends(tokenizer, self._model)
            ids = {"eos": ends, "bos": tokenizer.bos_token_id, "pad": tokenizer.pad_token_id}
            if ids["pad"] is None:
                ids["pad"] = ends[0] if isinstance(ends, list) else ends
            named = {f"{role}_token_id": token for role, token in ids.items()}
            unused = self._config.update(**named, **options.settings)
            if unused:
                raise UserError(f"--set {next(iter(unused))}: transformers has no such setting")
            self._config.validate(strict=True)
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"sampling options: {line_of(error)}") from None

    def ids(self, prompt: Prompt, untold: bool = False) -> list[int]:
        """Ids of a prompt. Raises `UserError` where the template refuses it, or it is too long."""
        if not self.options.chat and not self._has_documents:
            return self._fitting(self._as_it_is(prompt))
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": t} for n, t in enumerate(prompt.turns)]
        text = render(
            self.tokenizer,
            messages,
            self._mend,
            tokenize=False,
            add_generation_prompt=self.options.chat,
            metadata=None if untold else dict(prompt.told) or None,
            title=prompt.title,
        )
        if half_character(text):
            raise UserError(HALF)
        found = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if not found:
            raise UserError(f"the chat template makes nothing of the prompt: {self._mend}")
        return self._fitting(found)

    def _as_it_is(self, prompt: Prompt) -> list[int]:
        """A text by the tokenizer alone, with what that puts in front."""
        if prompt.title or len(prompt.turns) > 1:
            what = "a title" if prompt.title else "a conversation of several turns"
            raise UserError(f"{what} has no place in this model's documents: give a text alone")
        if half_character(prompt.turns[0]):
            raise UserError(HALF)
        found = self.tokenizer(prompt.turns[0])["input_ids"]
        if not found:
            raise UserError("the prompt is empty: give a text")
        return list(found)

    def _fitting(self, found: list[int]) -> list[int]:
        if self._max_length and len(found) >= self._max_length:
            raise UserError(
                f"the prompt has {len(found):,} tokens, and the model takes {self._max_length:,}: "
                "shorten it"
            )
        return found

    @torch.inference_mode()
    def write(self, prompts: Sequence[Prompt], seed: int, streamer: Any = None) -> list[Written]:
        """One text a prompt, of all prompts together; one by one where transformers cannot.

        seed: of this call; the same prompts and seed give the same texts.
        """
        # It gives the untold prompt no positions of its own where that is padded; and a text that a
        # stop has ended goes on beside the others where the model has no token of an end.
        by_one = self.options.guidance != 1 or (
            self.options.stop and self._config.eos_token_id is None
        )
        if by_one and len(prompts) > 1:
            return [self.write([each], seed + n)[0] for n, each in enumerate(prompts)]
        torch.manual_seed(seed)
        rows = [self.ids(prompt) for prompt in prompts]
        longest, device = max(map(len, rows)), self._model.device
        # Attention does not see it: any id serves where the model has none for it.
        pad = self._config.pad_token_id or 0
        tokens = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=device)
        seen = torch.tensor(
            [[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device
        )
        more: dict[str, Any] = {}
        if self.options.guidance != 1:
            untold = torch.tensor([self.ids(prompts[0], untold=True)], device=device)
            more = {"guidance_scale": self.options.guidance, "negative_prompt_ids": untold}
        if self.options.stop:
            more |= {"stop_strings": list(self.options.stop), "tokenizer": self.tokenizer}
        wanted = self._config.max_new_tokens or 128
        room = self._max_length - longest if self._max_length else wanted
        try:
            made = self._model.generate(
                tokens,
                attention_mask=seen,
                generation_config=self._config,
                max_new_tokens=min(wanted, room),
                streamer=streamer,
                **more,
            )
        # Of settings that go together, or do not; or of numbers that are no probabilities.
        except (ValueError, TypeError, RuntimeError) as error:
            raise UserError(f"sampling options: {line_of(error)}") from None
        return [self._written(row[longest:].tolist()) for row in made]

    def _unpadded(self, ids: list[int]) -> list[int]:
        """Without what fills up the row of a text that a stop has ended before others."""
        last = len(ids)
        while self.options.stop and last and ids[last - 1] == self._config.pad_token_id:
            last -= 1
        return ids[:last]

    def _written(self, ids: list[int]) -> Written:
        eos = self._config.eos_token_id
        ends = set(eos if isinstance(eos, list) else [eos])
        end = next((n for n, token in enumerate(ids) if token in ends), None)
        kept = self._unpadded(ids) if end is None else ids[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        ended = "length" if end is None else "eos"
        whole = self.tokenizer.decode(kept) if self.options.stop else ""
        for stop in self.options.stop:
            if stop in whole:  # a control token is not in the text
                ended = "stop"
            if (at := text.find(stop)) >= 0:
                text, ended = text[:at], "stop"
        return Written(text.strip() if self.options.chat else text, len(kept), ended)
