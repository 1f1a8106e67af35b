"""Softmax attention of a ViT, ``timm.layers.attention.Attention``: all tokens ask all, those without a place too.

What the maps rebuild is what enters the norm after them, which in most models changes nothing.
"""

from typing import Any

from ..hooks import Point
from ..layer import Layer
from .around import tokens
from .kind import Entries, Seen, Unreadable
from .single import single, split


def points(layer: Any) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Point("qkv"), Point("q_norm"), Point("k_norm"), Point("norm", 0)]


def read(name: str, layer: Any, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    grid, prefix, _ = tokens(seen)
    left = seen("q_norm") * layer.scale  # (B, h, N, d)
    counted(left.shape[2], grid.rows * grid.columns, prefix)
    values = split(seen("qkv"), 3, layer.num_heads)[2]
    return single(name, "softmax attention", "softmax", grid, left, seen("k_norm"), values, seen("norm"), prefix=prefix)


def counted(count: int, places: int, prefix: tuple[str, ...]) -> None:
    """Check that a layer got the tokens that the network around it lays out.

    Raises:
        Unreadable: others, as where some are dropped in training.
    """
    if count != len(prefix) + places:
        raise Unreadable(f"it got {count} tokens where the network has {len(prefix)} and a grid of {places}")


def values(layer: Any) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Entries(Point("qkv"), lambda projected: split(projected, 3, layer.num_heads)[2])]


def output(layer: Any) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("norm", 0), lambda y: y)
