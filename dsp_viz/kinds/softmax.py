"""Softmax attention of all tokens to all tokens."""

import math

from dsp_attention import SoftmaxAttention
from dsp_attention.grid import grid_size

from ..hooks import ALL, Point
from ..layer import Layer, Scale, Stream
from .around import placed
from .kind import Entries, Seen


def points(layer: SoftmaxAttention) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Point("", ALL), Point("qkv"), Point("proj", 0)]


def read(name: str, layer: SoftmaxAttention, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`. Scores are divided by ``√d``, here on the side of the queries."""
    x, *size = seen("")
    grid = placed(seen, *grid_size(x.shape[1], *size))
    q, k, v = layer.heads(seen("qkv"))
    ones = q.new_ones(*q.shape[:2], 1)
    return Layer(
        name=name,
        kind="softmax attention",
        grid=grid,
        streams=(Stream("softmax"),),
        finish="softmax",
        scales=(Scale(grid, grid, q[None] / math.sqrt(q.shape[-1]), k[None], v),),
        coefficients=ones[..., None],
        weights=ones,
        output=seen("proj"),
    )


def values(layer: SoftmaxAttention) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Entries(Point("qkv"), lambda projected: layer.heads(projected)[2])]


def output(layer: SoftmaxAttention) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("proj", 0), lambda y: y)
