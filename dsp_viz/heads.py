r"""What a head does, in a few numbers: how far it looks, how sharply, at what, and which other heads do the same.

All of it comes from the record of a layer, for all samples and heads at once: in ``O(N·d)`` for the rules ``ratio`` and
``product``, in one pass over all rows, some at a time, for ``softmax``. No ``N×N`` tensor is made.

``T`` streams, of ``S`` scales. Queries are those of a scale's own grid; a mean over them weighs each as the tokens of
the layer's grid ask it (:func:`dsp_viz.rows.asked`), so it is the plain mean where all tokens ask for themselves.
Queries without a place, such as a class token, do not count, and queries whose row is zero throughout neither.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor

from .layer import Grid, Layer, Scale
from .maps import entropy, place
from .rows import asked, softmax_rows

#: Queries at most whose rows give :attr:`HeadNumbers.entropy`.
SAMPLED = 16

#: Weights of softmax attention that are computed at a time, of all heads and samples together.
_ENTRIES = 2**22


@dataclass(frozen=True)
class HeadNumbers:
    r"""Of one layer; each ``(B, h, S, T)``, but for ``same_share``, at least float32.

    ``p`` are the middles of cells, of keys as far as they lie within the layer's grid. One unit is the longer side of
    the picture that the model saw, whose shape follows from the layer's tokens: they are taken to be square. All but
    ``same_share`` and ``received_entropy`` are made of shares of a row, ``a_ij = A_ij / Σ_j A_ij``, so that ``ε`` does
    not matter.

    Where a map may have negative entries (the rule ``product``, unless all factors of a head are non-negative), there
    are no shares of a row, and all are NaN. So they are where no query of a head has a row.

    Attributes:
        distance: how far from itself a query looks, in longer sides of the picture: ``√(mean_i Σ_j a_ij |p_i − p_j|²)``
            over the keys that have a place, ``a`` divided by their sum.
        entropy: mean of the entropy of a row (:func:`dsp_viz.maps.entropy`: 0 one key, 1 all alike), sampled: of at
            most :data:`SAMPLED` queries, spread evenly over the grid; of all where there are no more.
        received_entropy: entropy of the average map, see :func:`dsp_viz.maps.block_maps`; of all rows.
        self_share: what a query gives the key at its own place: the one in whose cell its middle lies.
        prefix_share: what it gives prefix tokens.
        centre_row, centre_column: of the average map, as shares of the picture's height and width.
        same_share: mean over queries of :func:`dsp_viz.maps.same_share`, ``(B, h, S)``; NaN where a layer has no same-
            and opposite-signed streams.
    """

    distance: Tensor
    entropy: Tensor
    received_entropy: Tensor
    self_share: Tensor
    prefix_share: Tensor
    centre_row: Tensor
    centre_column: Tensor
    same_share: Tensor


def numbers(block: Layer) -> HeadNumbers:
    """The numbers of all heads of a layer, for all samples.

    Args:
        block: of a trace.
    """
    with torch.autocast(block.output.device.type, enabled=False):
        found = [_of_scale(block, scale) for scale in block.scales]
    return HeadNumbers(**{f.name: torch.stack([getattr(one, f.name) for one in found], 2) for f in fields(HeadNumbers)})


class _Sums(NamedTuple):
    """Of all rows of a scale, prefix tokens left out among queries, not among keys.

    Attributes:
        moments: ``Σ_j A_ij · channels_j``, ``(B, h, T, 5, N_queries)``, each row as its rule finishes it, or a multiple
            of that. own: its entry at the query's own place, ``(B, h, T, N_queries)``.
        average: the average map, ``(B, h, T, N_keys)``. some: rows of the sampled queries, ``(B, h, T, n, N_keys)``.
    """

    moments: Tensor
    own: Tensor
    average: Tensor
    some: Tensor


class _Places(NamedTuple):
    """Of the queries and keys of a scale, the same for all heads.

    Attributes:
        queries: middles of the cells, ``(N_queries, 2)`` in longer sides. channels: of the keys, prefix tokens first,
            ``(N_keys, 5)``: 1; 1 for keys with a place; their middle, and its square. Zeros are those of prefix tokens.
        own: the key at the place of each query. sampled: queries. share: of each query, sums to 1.
    """

    queries: Tensor
    channels: Tensor
    own: Tensor
    sampled: Tensor
    share: Tensor


def _of_scale(block: Layer, scale: Scale) -> HeadNumbers:
    """Without the axis of scales."""
    first, places, sides = len(block.prefix), _places(block, scale), _sides(block.grid)
    sums = (_softmax if block.finish == "softmax" else _linear)(block, scale, places)
    total, placed, down, across, squares = sums.moments.unbind(-2)

    def mean(values: Tensor, of: Tensor) -> Tensor:
        share = places.share * (of > 0)
        return (values / of).where(of > 0, 0).mul(share).sum(-1) / share.sum(-1)

    row, column = places.queries.T
    apart = squares - 2 * (down * row + across * column) + placed * (row.square() + column.square())
    received = sums.average[..., first:]
    centre = received @ places.channels[first:, 2:4] / received.sum(-1, keepdim=True)
    found = {
        # Rounding may leave a little less than nothing.
        "distance": mean(apart, placed).clamp_min(0).sqrt(),
        "entropy": entropy(sums.some[..., first:].unflatten(-1, scale.keys.size)).mean(-1),
        "received_entropy": entropy(received.unflatten(-1, scale.keys.size)),
        "self_share": mean(sums.own, total),
        "prefix_share": mean(total - placed, total),
        "centre_row": centre[..., 0] / sides[0],
        "centre_column": centre[..., 1] / sides[1],
    }
    signed = _signed(block, scale)[..., None]
    shares = {name: values.masked_fill(signed, torch.nan) for name, values in found.items()}
    return HeadNumbers(**shares, same_share=_same_share(block, total, places.share))


def _signed(block: Layer, scale: Scale) -> Tensor:
    """Whether maps of a head may have negative entries, ``(B, h)``."""
    if block.finish != "product":
        return torch.zeros(scale.right.shape[1:3], dtype=torch.bool, device=scale.right.device)
    low = [factor.amin((0, 3, 4)) for factor in (scale.left, scale.right)]
    return torch.minimum(*low) < 0


def _same_share(block: Layer, total: Tensor, share: Tensor) -> Tensor:
    """``(B, h)``; ``total``: what all keys have in common with a query, ``(B, h, T, N_queries)``."""
    of = {stream.role: total[:, :, t] for t, stream in enumerate(block.streams)}
    if block.finish != "ratio" or of.keys() != {"same", "opposite"}:
        return total.new_full(total.shape[:2], torch.nan)
    both = of["same"] + of["opposite"]
    return (of["same"] / both).where(both > 0, 0.5) @ share


def _sides(grid: Grid) -> tuple[float, float]:
    """Height and width of the picture, the longer is 1, where the grid's cells are square."""
    top, left, bottom, right = grid.box
    height, width = grid.rows / (bottom - top), grid.columns / (right - left)
    return height / max(height, width), width / max(height, width)


def _middles(grid: Grid, within: Grid) -> Tensor:
    """Of its cells, as far as they lie within another grid, ``(N, 2)`` float64 in longer sides of the picture."""
    along = []
    for axis, (n, side) in enumerate(zip(grid.size, _sides(within), strict=True)):
        start, stop = grid.box[axis::2]
        edges = start + (stop - start) * torch.arange(n + 1, dtype=torch.float64) / n
        edges = edges.clamp(*within.box[axis::2])
        along.append(side * (edges[:-1] + edges[1:]) / 2)
    return torch.cartesian_prod(*along).view(-1, 2)


def _places(block: Layer, scale: Scale) -> _Places:
    first, queries, keys = len(block.prefix), scale.queries, scale.keys
    middles = _middles(keys, block.grid)
    ones = torch.ones(len(middles), 2, dtype=torch.float64)
    channels = torch.cat([ones, middles, middles.square().sum(-1, keepdim=True)], -1)
    beside = channels.new_zeros(first, 5)
    beside[:, 0] = 1
    rows = torch.tensor([place((row, 0), queries, keys)[0] for row in range(queries.rows)])
    columns = torch.tensor([place((0, column), queries, keys)[1] for column in range(queries.columns)])
    own = first + (rows[:, None] * keys.columns + columns).flatten()
    share = asked(block, scale, "all")[first:]
    dtype, device = torch.promote_types(scale.right.dtype, torch.float32), scale.right.device
    return _Places(
        queries=_middles(queries, block.grid).to(device, dtype),
        channels=torch.cat([beside, channels]).to(device, dtype),
        own=own.to(device),
        sampled=_sampled(queries).to(device),
        share=share.to(device, dtype),
    )


def _sampled(grid: Grid) -> Tensor:
    """At most :data:`SAMPLED` of its cells, spread evenly; all where there are no more."""
    down = min(grid.rows, 4)
    across = min(grid.columns, SAMPLED // down)
    down = min(grid.rows, SAMPLED // across)
    rows, columns = (
        (2 * torch.arange(count) + 1) * n // (2 * count) for n, count in zip(grid.size, (down, across), strict=True)
    )
    return (rows[:, None] * grid.columns + columns).flatten()


def _linear(block: Layer, scale: Scale, places: _Places) -> _Sums:
    """Of the rules ``ratio`` and ``product``: linear in the keys, so these are added up first.

    What takes time is to read the factors: all streams are multiplied at once, and part by part, since a product over
    parts of a record would copy them first.
    """
    left, right = (list(factor) for factor in _factors(scale))  # P of (B, h, N, r)
    left = [part[..., len(block.prefix) :, :] for part in left]
    turns = [stream.turn for stream in block.streams]
    channels = places.channels.T.expand(*right[0].shape[:2], 5, -1)
    keys = [channels @ part for part in right]  # (B, h, 5, r)
    # The left factor turned back meets the right factor as that meets the left, turned.
    turned = [torch.cat([keys[p - turn] for turn in turns], 2) for p in range(len(keys))]  # (B, h, T·5, r)
    moments = _added(turned, left).unflatten(2, (-1, 5))  # (B, h, T, 5, N_queries)
    share = places.share.expand(*moments.shape[:3], -1)
    if block.finish == "ratio":
        share = share / (moments[..., 0, :] + right[0].shape[-2] * block.epsilon)
    # Of each part, rows of factors whose products with the keys are the sampled rows and the average of all rows.
    asking = [torch.cat([part[..., places.sampled, :], share @ part], 2) for part in left]  # (B, h, n + T, r)
    n, rows = len(places.sampled), []
    for p in range(len(right)):
        mine = [(t, asking[(p + turn) % len(asking)]) for t, turn in enumerate(turns)]
        rows.append(torch.cat([row for t, of in mine for row in (of[:, :, :n], of[:, :, n + t, None])], 2))
    found = _added(rows, right).unflatten(2, (len(turns), n + 1))  # (B, h, T, n + 1, N_keys)
    # Where queries lie where keys do, those at their place are all of them, in order.
    at = [
        part[..., len(block.prefix) :, :] if scale.queries == scale.keys else part[..., places.own, :] for part in right
    ]
    ones = right[0].new_ones(right[0].shape[-1])  # a product with them is faster than a sum of so few
    own = [sum((part * at[p - turn]) @ ones for p, part in enumerate(left)) for turn in turns]
    return _Sums(moments, torch.stack(own, 2), found[..., n, :], found[..., :n, :])


def _added(rows: Sequence[Tensor], factors: Sequence[Tensor]) -> Tensor:
    """``Σ_p rows_p factors_pᵀ``, all ``(B, h, n, r)`` and ``(B, h, m, r)`` → ``(B, h, n, m)``."""
    pairs = [(one.flatten(0, 1), other.flatten(0, 1).mT) for one, other in zip(rows, factors, strict=True)]
    found = torch.bmm(*pairs[0])
    for one, other in pairs[1:]:
        found.baddbmm_(one, other)
    return found.unflatten(0, rows[0].shape[:2])


def _softmax(block: Layer, scale: Scale, places: _Places) -> _Sums:
    """Of the rule ``softmax``: every row is computed."""
    left, right = _factors(scale)
    first = len(block.prefix)
    sums = []
    for stream in block.streams:
        asking = left.roll(-stream.turn, 0)
        shape = (*asking.shape[1:3], len(places.share))  # (B, h, N_queries)
        moments, own = asking.new_empty(*shape, 5), asking.new_empty(shape)
        average = asking.new_zeros(*shape[:2], right.shape[-2])
        some = average.new_zeros(*shape[:2], len(places.sampled), right.shape[-2])
        for queries, keys, weights in _all_rows(scale, asking, right, first):
            placed = queries - first
            moments[:, :, placed] = weights @ places.channels[keys]
            average[:, :, keys] += (places.share[placed][:, None] @ weights)[..., 0, :]
            at = (keys[:, None] == places.own[placed][..., None]).int().argmax(-1)
            own[:, :, placed] = weights.gather(-1, at[..., None].expand(*weights.shape[:-1], 1))[..., 0]
            which, box, n = (places.sampled[:, None, None] == placed).nonzero(as_tuple=True)
            some[:, :, which[:, None], keys[box]] = weights[:, :, box, n]
        sums.append(_Sums(moments.mT, own, average, some))
    return _Sums(*(torch.stack(found, 2) for found in zip(*sums, strict=True)))


def _factors(scale: Scale) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(scale.right.dtype, torch.float32)
    return scale.left.to(dtype), scale.right.to(dtype)


def _all_rows(scale: Scale, left: Tensor, right: Tensor, first: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows of all queries with a place, see :func:`dsp_viz.rows.softmax_rows`; weights are ``(B, h, boxes, n, m)``."""
    wanted = torch.arange(left.shape[-2], device=left.device) >= first
    return softmax_rows(scale, left, right, wanted, entries=max(1, _ENTRIES // (left.shape[1] * left.shape[2])))


def similarity(block: Layer, *, scale: int = 0, sample: int = 0) -> Tensor:
    r"""How alike the maps of a layer's heads are: the correlation of their entries.

    .. math:: \rho_{ab} = \frac{\langle \bar A_a, \bar A_b\rangle}{\lVert \bar A_a\rVert\,\lVert \bar A_b\rVert},
              \quad \bar A_{ij} = A_{ij} - \frac1N \sum_{j'} A_{ij'}

    over all queries and keys with a place, and all streams, each with the same stream of the other head. What every
    map has in common, that no entry is negative, is taken away with the mean of each row, so heads that have nothing
    to do with each other have 0. With ``A = L Rᵀ`` (``L`` divided by what its rule divides by, ``R`` less its mean),
    ``⟨Ā, Ā'⟩ = tr((Lᵀ L')(R'ᵀ R))``: exact in ``O(N·r²)`` for the rules ``ratio`` and ``product``; for ``softmax``
    every row is computed.

    Args:
        block: of a trace. scale: index, 0 the finest. sample: index in the batch.

    Returns:
        ``(h, h)`` within -1 and 1, symmetric; NaN for a head whose rows are all uniform.
    """
    own = block.scales[scale]
    one = replace(own, left=own.left[:, sample, None], right=own.right[:, sample, None])
    with torch.autocast(block.output.device.type, enabled=False):
        products = (_softmax_products if block.finish == "softmax" else _linear_products)(block, one)
    norms = products.diagonal().sqrt()
    return (products / torch.outer(norms, norms)).clamp(-1, 1)


def _linear_products(block: Layer, scale: Scale) -> Tensor:
    """``⟨Ā, Ā'⟩`` of all heads ``(h, h)``, one sample."""
    left, right = (factor[:, 0] for factor in _factors(scale))  # (P, h, N, r)
    first, whole = len(block.prefix), right.mean(2, keepdim=True)
    right = right[:, :, first:]
    R = (right - right.mean(2, keepdim=True)).transpose(0, 1).transpose(1, 2).flatten(2)  # (h, N_keys, P·r)
    keys = _grams(R)
    total = keys.new_zeros(())
    for stream in block.streams:
        asking = left.roll(-stream.turn, 0)
        if block.finish == "ratio":
            asking = asking / ((asking * whole).sum((0, -1), keepdim=True) + block.epsilon)
        L = asking[:, :, first:].transpose(0, 1).transpose(1, 2).flatten(2)
        total = total + (_grams(L) * keys).sum((1, 3))
    return total


def _grams(factors: Tensor) -> Tensor:
    """``(h, N, r)`` → products of all channels of all heads over tokens, ``(h, r, h, r)``, in one multiplication."""
    h, _, r = factors.shape
    flat = factors.transpose(0, 1).flatten(1)  # (N, h·r)
    return (flat.T @ flat).view(h, r, h, r)


def _softmax_products(block: Layer, scale: Scale) -> Tensor:
    left, right = _factors(scale)
    first, count = len(block.prefix), scale.keys.rows * scale.keys.columns
    total = right.new_zeros(right.shape[2], right.shape[2])
    for stream in block.streams:
        for _, keys, weights in _all_rows(scale, left.roll(-stream.turn, 0), right, first):
            placed = (weights[0] * (keys >= first)[:, None]).flatten(1)  # (h, boxes·n·m)
            sums = placed.view(*weights.shape[1:]).sum(-1).flatten(1)  # (h, boxes·n)
            # Keys that are not seen are in the mean, too.
            total += placed @ placed.T - sums @ sums.T / count
    return total
