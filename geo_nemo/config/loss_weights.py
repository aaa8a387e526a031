"""Weights of tokens in the loss, by their kind."""

from typing import Annotated, Literal

from pydantic import Field

# Kinds of token that a document is composed of (geo_nemo.metadata.record.Kind), but for BOS, which
# is no label. `end` is EOS.
TokenKind = Literal["metadata", "label", "title", "body", "end"]
CONTEXT: tuple[TokenKind, ...] = ("metadata", "label")
TEXT: tuple[TokenKind, ...] = ("title", "body", "end")
LossWeights = dict[TokenKind, Annotated[float, Field(ge=0)]]


def usual_weights(mask_loss: bool) -> dict[str, float]:
    """What each kind weighs where a policy does not say. mask_loss: as of a policy."""
    context = 0.0 if mask_loss else 1.0
    return dict.fromkeys(CONTEXT, context) | dict.fromkeys(TEXT, 1.0)
