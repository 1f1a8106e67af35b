"""PVT v2's attention, ``timm.models.pvt_v2.Attention`` (Wang et al. 2022, arXiv 2106.13797): all queries, fewer keys.

Keys are made of ``R × R`` tokens each by a convolution, or in the linear variant of 7×7 averages of the picture.
"""

from typing import Any

from ..hooks import ALL, Point
from ..layer import Grid, Layer
from .kind import Entries, Seen
from .single import single, split


def points(layer: Any) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Point("", ALL), Point("q"), Point("kv"), Point("proj", 0)]


def read(name: str, layer: Any, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    grid = Grid(*seen("")[1])
    (q,) = split(seen("q"), 1, layer.num_heads)
    k, v = split(seen("kv"), 2, layer.num_heads)
    keys, pooled = _keys(layer, grid)
    return single(
        name, "softmax attention", "softmax", grid, q * layer.scale, k, v, seen("proj"), keys=keys, pooled=pooled
    )


def _keys(layer: Any, grid: Grid) -> tuple[Grid, int]:
    """Where keys lie, and how many tokens each has along a side."""
    if layer.pool is not None:
        # Of a side that is not a multiple of 7, averages overlap by a token: these are their middles.
        return Grid(*(layer.pool.output_size,) * 2), max(1, round(grid.rows / layer.pool.output_size))
    if layer.sr is None:
        return grid, 1
    reduced = layer.sr.stride[0]
    rows, columns = (side // reduced for side in grid.size)  # what is left over at an end is in no key
    box = (0.0, 0.0, rows * reduced / grid.rows, columns * reduced / grid.columns)
    return Grid(rows, columns, box), reduced


def values(layer: Any) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Entries(Point("kv"), lambda projected: split(projected, 2, layer.num_heads)[1])]


def output(layer: Any) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("proj", 0), lambda y: y)
