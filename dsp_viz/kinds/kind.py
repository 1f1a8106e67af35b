"""The protocol of a reader, which makes the record of one kind of attention layer."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ..hooks import Point
from ..layer import Layer

#: What was seen at a point of a layer, by its path within it; of several calls the last, or the one of that index.
Seen = Callable[..., Any]


class Values(NamedTuple):
    """Where the values of one scale come from.

    Attributes:
        point: within the layer.
        take: the values ``(B, h, N_keys, d)`` of what is there, as a view: a change of them is a change of it.
    """

    point: Point
    take: Callable[[Tensor], Tensor]


class Kind(Protocol):
    """A reader of one attention. A module of functions is one."""

    def points(self, layer: Any, /) -> list[Point]:
        """Where to look, by paths within the layer; of each submodule its output or some of its inputs, not both."""
        ...

    def read(self, name: str, layer: Any, seen: Seen, /) -> Layer:
        """The record of what was seen, ``seen(path)`` for each of the points; ``name``: the layer's module path."""
        ...

    def values(self, layer: Any, /) -> list[Values]:
        """Where those of each scale come from."""
        ...
