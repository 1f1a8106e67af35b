"""Softmax attention within shifted windows of the grid, as in Swin (Liu et al. 2021, arXiv 2103.14030)."""

import math

from dsp_attention.grid import grid_size
from dsp_attention.window import WindowAttention

from ..hooks import ALL, Point
from ..layer import Layer, Window
from .around import placed
from .kind import Entries, Seen
from .single import single


def points(layer: WindowAttention) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Point("", ALL), Point("qkv"), Point("proj", 0)]


def read(name: str, layer: WindowAttention, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`. The layer may pad its grid; padding is no key, so the record has none."""
    x, *size = seen("")
    grid = placed(seen, *grid_size(x.shape[1], *size))
    side, shift = layer.window_of(*grid.size)
    window = Window((side, side), (shift, shift), layer.bias(side).detach())
    q, k, v = layer.heads(seen("qkv"))
    left = q / math.sqrt(q.shape[-1])
    return single(name, "windows, softmax", "softmax", grid, left, k, v, seen("proj"), window=window)


def values(layer: WindowAttention) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Entries(Point("qkv"), lambda projected: layer.heads(projected)[2])]


def output(layer: WindowAttention) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("proj", 0), lambda y: y)
