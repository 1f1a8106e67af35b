"""The protocol of a reader, which makes the record of one kind of attention layer."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..hooks import Point
from ..layer import Layer

#: What was seen at a point of a layer, by its path within it; of several calls the last, or the one of that index.
Seen = Callable[..., Any]


class Unreadable(ValueError):
    """A form of a layer that its reader does not know; the message says which."""


class Entries(NamedTuple):
    """Where some entries of a tensor are.

    Attributes:
        point: within the layer.
        take: the entries, of what is there: a rearrangement (views, parts, transposes, indexing), so that it tells too
            where each of them goes when it is replaced, see :func:`put`.
        scale: which they are the values of. head: the first that they are the values of.
    """

    point: Point
    take: Callable[[Tensor], Tensor]
    scale: int = 0
    head: int = 0


def put(entries: Entries, tensor: Tensor, new: Tensor) -> Tensor:
    """A tensor as is at the point, with other entries; of the rest a copy.

    Args:
        entries: which. tensor: what is there. new: in the shape of what ``entries.take`` gives.
    """
    places = entries.take(torch.arange(tensor.numel(), device=tensor.device).view(tensor.shape))
    return tensor.flatten().index_copy(0, places.flatten(), new.to(tensor.dtype).flatten()).view(tensor.shape)


class Kind(Protocol):
    """A reader of one attention. A module of functions is one."""

    def points(self, layer: Any, /) -> list[Point]:
        """Where to look, by paths within the layer; of each submodule its output or some of its inputs, not both."""
        ...

    def read(self, name: str, layer: Any, seen: Seen, /) -> Layer:
        """The record of what was seen, ``seen(path)`` for each of the points; ``name``: the layer's module path."""
        ...

    def values(self, layer: Any, /) -> list[Entries]:
        """Where those of each scale come from, ``(B, h, N_keys, d)``. Heads of one scale may come from several points;
        where a layer computes values from what is there, what they come from, if that being 0 leaves them out."""
        ...

    def output(self, layer: Any, /) -> Entries:
        """Where :attr:`dsp_viz.layer.Layer.output` is, ``(B, prefix + N, C)``: an input of a submodule."""
        ...
