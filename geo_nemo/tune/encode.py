"""Conversations as token ids and labels, by the model's own chat template."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import UserError
from geo_nemo.config.tune import Tune
from geo_nemo.export.libraries import render, special_tokens
from geo_nemo.tune.records import as_messages
from geo_nemo.tune.telling import ToldConversation

IGNORED = -100


@dataclass
class Encoded:
    """input_ids, labels: int lists, one a conversation; a label that is not trained is IGNORED.

    told: what each was made of. dropped: places of those that are left out.
    """

    input_ids: list[list[int]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    told: list[ToldConversation] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    @property
    def trained(self) -> int:
        """Labels with a loss."""
        return sum(label != IGNORED for labels in self.labels for label in labels)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.input_ids))


def encode(
    found: Sequence[ToldConversation],
    tokenizer: Any,
    config: Tune,
    seq_length: int,
    progress: Progress = no_progress,
) -> Encoded:
    """Raises `UserError` that names file and line where the template refuses a conversation."""
    made, control = Encoded(), special_tokens(tokenizer)
    _keep_spaces(tokenizer)
    for number, each in enumerate(found):
        if spelt := _spelt(each, control):
            raise UserError(
                f"{each.conversation.place} spells {spelt}, a control token of the model, which it "
                "would be trained on: write it apart, or drop the record"
            )
        ids, labels = encode_one(each, tokenizer, config.loss)
        if len(ids) > seq_length:
            if config.too_long == "drop":
                made.dropped.append(each.conversation.place)
                continue
            raise UserError(
                f"{each.conversation.place} has {len(ids):,} tokens, and a sequence {seq_length:,}:"
                " cut it, or give too_long=drop"
            )
        made.input_ids.append(ids)
        made.labels.append(labels)
        made.told.append(each)
        if number % 512 == 0:
            progress("tokenise", number, len(found))
    if not made.input_ids:
        raise UserError("no conversation is left to be tuned on: give other data")
    progress("tokenise", len(found), len(found))
    return made


def _keep_spaces(tokenizer: Any) -> None:
    """Have the place of a token hold the space in front of it, with which an answer begins.

    A byte-level tokenizer may leave it out (`trim_offsets`), and transformers, which finds no token
    there, then marks this answer and all behind it as none. Ids stay what they are.
    """
    processor = getattr(getattr(tokenizer, "backend_tokenizer", None), "post_processor", None)
    parts = processor if hasattr(processor, "__getitem__") else [processor]
    for part in parts:
        if getattr(part, "trim_offsets", False):
            part.trim_offsets = False


def _spelt(each: ToldConversation, control: Sequence[str]) -> str | None:
    """A control token that the text of a turn would become."""
    return next((token for token in control for turn in each.conversation.turns if token in turn),
                None)  # fmt: skip


def encode_one(
    each: ToldConversation, tokenizer: Any, loss: str = "answers"
) -> tuple[list[int], list[int]]:
    """Ids and labels of a conversation, both in the order of the text."""
    try:
        made = render(
            tokenizer,
            as_messages(each.conversation.turns),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            metadata=each.metadata or None,
        )
    except UserError as error:
        raise UserError(f"{each.conversation.place}: {error}") from None
    ids, trained = list(made["input_ids"]), made["assistant_masks"]
    labels = [
        token if mark or loss == "all" else IGNORED
        for token, mark in zip(ids, trained, strict=True)
    ]
    if all(label == IGNORED for label in labels):
        raise UserError(
            f"{each.conversation.place}: the chat template marks no answer ({{% generation %}}): "
            "export the model anew"
        )
    return ids, labels
