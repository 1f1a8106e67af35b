"""The accounts of relevance in words: what each measures, in which unit, and whether it has a sign."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .layer import Role

#: The unit of what is a share of a whole: 1 where all tokens have the same.
UNIFORM = "× uniform"

#: Begins the names of accounts by what a token receives; after it may stand the name of a stream.
RECEIVED = "received"


class Account(NamedTuple):
    """One of :func:`dsp_viz.relevance.relevances`, in words.

    Attributes:
        about: what it is. unit: of its numbers, see :func:`in_units`. signed: whether they may be negative.
        role: of the stream that it is of, which gives it its colour. approximate: why it is only approximately what
            its name says; empty where it is exact.
    """

    about: str
    unit: str
    signed: bool = False
    role: Role = "only"
    approximate: str = ""


_KNOWN = {
    RECEIVED: Account("what a patch gets from all queries, all blocks and heads averaged", UNIFORM),
    f"{RECEIVED}, signed": Account(
        "what a patch gets from all queries, all blocks and heads averaged; maps of this model may be negative",
        UNIFORM,
        signed=True,
    ),
    "rollout": Account(
        "attention followed back from the answer through all blocks",
        UNIFORM,
        approximate="means over heads, half of each step to the residual",
    ),
    "gradient × map": Account(
        "each entry of a map times the logit's gradient by it, added up by key", "change of the logit", signed=True
    ),
    "gradient": Account("size of the logit's gradient by the pixels of a patch", "|∂ logit / ∂ input|, added up"),
    "integrated gradients": Account(
        "the gradient on the way from the mean colour to the picture", "change of the logit", signed=True
    ),
}


def account(name: str) -> Account:
    """What an account is, by its name."""
    if name in _KNOWN:
        return _KNOWN[name]
    stream = name.removeprefix(f"{RECEIVED} ")
    role: Role = "same" if stream == "same" else "opposite" if stream == "opposite" else "only"
    return Account(f"what a patch gets in {stream} maps, all blocks and heads averaged", UNIFORM, role=role)


def in_units(name: str, relevance: Tensor) -> NDArray[np.float32]:
    """The relevance ``(H, W)`` of an account in its unit."""
    values = relevance * relevance.numel() if account(name).unit == UNIFORM else relevance
    return values.float().numpy()
