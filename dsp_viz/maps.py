"""Exact attention maps from the record of a layer: any row in ``O(N·d)``, never the ``N×N`` map.

For the rules ``ratio`` and ``product`` that holds for the average over all queries too; ``softmax`` needs every row for
it (:data:`dsp_viz.layer.Finish`).

A *query* is a token of the layer's grid, given as ``(row, column)``, or ``"all"``: the average over all tokens of the
grid, or the name of a prefix token (:attr:`dsp_viz.layer.Layer.prefix`), or shares of all tokens of the grid,
``(H, W)``, or of these after the prefix tokens, ``(prefix + N,)``: the sum of their rows, weighted.
:mod:`dsp_viz.rows` has the arithmetic.
"""

import math
import warnings
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from .layer import Grid, Layer, Trace
from .rows import Query, asked, check, rows

T = TypeVar("T")


def streams(block: Layer) -> tuple[str, ...]:
    """Names of the maps that each head of a layer has at each scale."""
    return tuple(stream.name for stream in block.streams)


def block_maps(block: Layer, query: Query, *, sample: int = 0) -> list[Tensor]:
    """Every map of one layer for one query: all heads, scales and streams.

    Args:
        block: of a trace. query: ``(row, column)`` on the layer's own grid, ``"all"``, or the name of a prefix token.
        sample: index in the batch.

    Returns:
        For each scale ``(streams, h, H_keys, W_keys)``, see :func:`streams`. Of the rules ``ratio`` and ``softmax``
        each map is non-negative and sums to 1 (up to ``ε``), less what prefix tokens get (:func:`prefix_shares`). Keys
        that the query does not see get 0.

    Raises:
        ValueError: the query lies outside the grid, or the layer has no token of that name.
    """
    placed = [row[..., len(block.prefix) :] for row in _rows(block, query, sample)]
    return [row.unflatten(-1, scale.keys.size) for row, scale in zip(placed, block.scales, strict=True)]


def prefix_shares(block: Layer, query: Query, *, sample: int = 0) -> list[Tensor]:
    """What each prefix token gets of a row, which is in no map: for each scale ``(streams, h, prefix)``.

    Arguments and errors as of :func:`block_maps`.
    """
    return [row[..., : len(block.prefix)] for row in _rows(block, query, sample)]


def _rows(block: Layer, query: Query, sample: int) -> list[Tensor]:
    with torch.autocast("cpu", enabled=False):
        return [rows(block, scale, query, sample) for scale in block.scales]


def query_map(
    trace: Trace,
    *,
    block: int,
    scale: int,
    head: int,
    query: Query,
    stream: str | None = None,
    sample: int = 0,
    polarity: str | None = None,
) -> Tensor:
    """One map: where a query looks, in one layer, scale, head and stream.

    Args:
        trace: of a forward pass. block, scale, head: indices from 0.
        query: ``(row, column)`` on :attr:`dsp_viz.layer.Trace.grid`, rounded to the layer's own, ``"all"`` for the
            average over all queries, the name of a prefix token, or shares ``(H, W)`` of the layer's tokens.
        stream: its name, see :func:`streams`; a layer that has only one needs none.
        sample: index in the batch. polarity: the former name of ``stream``.

    Returns:
        ``(H_keys, W_keys)``; of the rules ``ratio`` and ``softmax`` non-negative, with sum 1 (up to ``ε``) less what
        prefix tokens get.

    Raises:
        ValueError: an index or a name outside its range; the message says which and what is allowed.
    """
    if polarity is not None:
        warnings.warn("polarity= is called stream= now", DeprecationWarning, stacklevel=2)
        stream = polarity
    b = _item(trace.blocks, block, "block")
    _item(b.scales, scale, "scale")
    _item(range(b.coefficients.shape[1]), head, "head")
    _item(range(b.coefficients.shape[0]), sample, "sample")
    known = streams(b)
    stream = known[0] if stream is None and len(known) == 1 else stream
    if stream not in known:
        raise ValueError(f"stream={stream!r}: must be one of {', '.join(known)}")
    own = place(query, trace.grid, b.grid)
    return block_maps(b, own, sample=sample)[scale][known.index(stream), head]


def place(query: Query, grid: Grid, other: Grid) -> Query:
    """A query of one grid as that of another: the token there that the middle of this one lies in.

    Raises:
        ValueError: it lies outside the grid.
    """
    if not isinstance(query, tuple | list):
        return query
    check(query, grid.size)
    row, column = (
        _placed(at, n, grid.box[axis::2], m, other.box[axis::2])
        for axis, (at, n, m) in enumerate(zip(query, grid.size, other.size, strict=True))
    )
    return row, column


def _placed(at: int, n: int, span: tuple[float, ...], m: int, other: tuple[float, ...]) -> int:
    """The cell, of ``m`` along an axis, that the middle of a cell of ``n`` lies in, or the nearest."""
    if span == other:
        return ((2 * at + 1) * m) // (2 * n)  # whole numbers: nothing is rounded
    middle = span[0] + (span[1] - span[0]) * (2 * at + 1) / (2 * n)
    # A middle on an edge of the other is in the cell behind it, whatever rounding made of it.
    return min(max(math.floor((middle - other[0]) / (other[1] - other[0]) * m + 1e-9), 0), m - 1)


def layer_map(block: Layer, query: Query, *, sample: int = 0) -> Tensor:
    r"""The effective map of a layer: every scale with its weight and coefficients, on the layer's grid.

    .. math:: E = \sum_s w_s\,c_s\,(U_s A_s P_s)

    ``P_s`` is the pooling that made the keys of scale ``s``, so a coarse key's share is spread evenly over the
    tokens that it covers.

    Args:
        block: of a trace. query: see :func:`block_maps`. sample: index in the batch.

    Returns:
        ``(streams, h, H, W)``; each sums to ``Σ_s w_s c_s`` times the sum of its rows.
    """
    return layer_row(block, query, sample=sample)[..., len(block.prefix) :].unflatten(-1, block.grid.size)


def layer_row(block: Layer, query: Query, *, sample: int = 0) -> Tensor:
    """:func:`layer_map` as ``(streams, h, prefix + N)``, with what prefix tokens get."""
    first = len(block.prefix)
    terms = []
    for s, (scale, row) in enumerate(zip(block.scales, _rows(block, query, sample), strict=True)):
        placed = spread(row[..., first:].unflatten(-1, scale.keys.size), scale.keys, block.grid).flatten(-2)
        amount = block.weights[sample, :, s] * block.coefficients[sample, :, s].T  # (streams, h)
        terms.append(amount[..., None].to(row) * torch.cat([row[..., :first], placed], -1))
    return torch.stack(terms).sum(0)


def spread(values: Tensor, grid: Grid, other: Grid) -> Tensor:
    """Values ``(…, H, W)`` of a grid's cells on another grid ``(…, H', W')``: each is divided among the cells of the
    other that it covers, in proportion to the covered area of each. What lies beyond the other gets nothing."""
    if grid == other:
        return values
    rows, columns = _overlaps(grid, other, values)
    return rows.T @ values @ columns


def covered(values: Tensor, grid: Grid, other: Grid) -> Tensor:
    """The mean of values ``(…, H', W')`` of another grid over each cell of a grid, ``(…, H, W)``, by covered area. What
    lies beyond the other counts for nothing."""
    rows, columns = _overlaps(grid, other, values)
    return rows @ values @ columns.T


def _overlaps(grid: Grid, other: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = (
        _overlap(n, grid.box[axis::2], m, other.box[axis::2]).to(like)
        for axis, (n, m) in enumerate(zip(grid.size, other.size, strict=True))
    )
    return rows, columns


def _overlap(n: int, span: tuple[float, ...], m: int, other: tuple[float, ...]) -> Tensor:
    """``(n, m)`` float64: which share of cell ``i`` of one axis lies in cell ``j`` of the other; rows sum to 1."""
    # In cells of the other, where edges that meet are whole numbers but for rounding.
    unit = (other[1] - other[0]) / m
    edges = [round((span[0] + (span[1] - span[0]) * i / n - other[0]) / unit, 9) for i in range(n + 1)]
    low, high = torch.tensor(edges[:-1], dtype=torch.float64), torch.tensor(edges[1:], dtype=torch.float64)
    j = torch.arange(m, dtype=torch.float64)
    common = (torch.minimum(high[:, None], j + 1) - torch.maximum(low[:, None], j)).clamp_min(0)
    return common / common.sum(1, keepdim=True).clamp_min(1e-12)


def same_share(block: Layer, query: Query, *, sample: int = 0) -> Tensor:
    r"""How much of what the features of a query and of all keys have in common is same-signed.

    .. math:: \frac{n_\mathrm{same}}{n_\mathrm{same} + n_\mathrm{opp}},\quad
              n = \varphi(q)\cdot\sum_j \varphi(k_j)

    Each stream is normalised by its own ``n``, so the maps do not tell. For several tokens, their mean.

    Args:
        block: of a trace, with a stream of either role. query: see :func:`block_maps`. sample: index in the batch.

    Returns:
        ``(h, S)`` within 0 and 1; ½ where a query has no features at all.

    Raises:
        ValueError: the layer has no same- and opposite-signed streams.
    """
    turns = {stream.role: stream.turn for stream in block.streams}
    if block.finish != "ratio" or turns.keys() != {"same", "opposite"}:
        raise ValueError(f"{block.name} ({block.kind}) has no same- and opposite-signed streams to weigh")
    shares = []
    for scale in block.scales:
        left, total = scale.left[:, sample], scale.right[:, sample].sum(2)  # (P, h, N, r), (P, h, r)
        same, opposite = (torch.einsum("phnr,phr->hn", left, total.roll(turns[r], 0)) for r in ("same", "opposite"))
        part = torch.where(same + opposite > 0, same / (same + opposite), 0.5)
        shares.append(part @ asked(block, scale, query).to(part))
    return torch.stack(shares, dim=-1)


def entropy(maps: Tensor) -> Tensor:
    """Entropy of each map over its last two axes, divided by that of the uniform map: 0 one token, 1 all alike.

    A map of one token, and a map that is zero throughout, have entropy 1 by convention. One with negative entries,
    as of the rule ``product``, has none (NaN).
    """
    p = maps.flatten(-2)
    n = p.shape[-1]
    total = p.sum(-1, keepdim=True)
    p = p / total.clamp_min(torch.finfo(p.dtype).tiny)
    # As xlogy, at half its time: 0·log 0 is 0, and what is negative has no logarithm.
    nats = -p.log().clamp_min_(torch.finfo(p.dtype).min).mul_(p).sum(-1)
    if n == 1:
        return torch.ones_like(nats)
    return torch.where((total[..., 0] > 0) | nats.isnan(), nats / math.log(n), 1.0)


def _item(items: Sequence[T], index: int, what: str) -> T:
    if not 0 <= index < len(items):
        raise ValueError(f"{what}={index!r}: must be within 0 and {len(items) - 1}")
    return items[index]
