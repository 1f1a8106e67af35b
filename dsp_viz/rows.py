"""Rows of maps from the record of a layer: the arithmetic of the three rules (:data:`dsp_viz.layer.Finish`).

A row is finished over all keys that its query sees: prefix tokens first, then the cells of the keys' grid. Where
queries lie on a coarser grid, the layer lifts its output by bilinear interpolation, so a token asks up to four of them;
their rows are added up with the same weights here, and the row is what reached the token.
"""

from collections import defaultdict
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .layer import Layer, Scale

#: Weights of softmax attention that are computed at a time, of each head.
ENTRIES = 2**20

Query = tuple[int, int] | str | Tensor


def asked(block: Layer, scale: Scale, query: Query) -> Tensor:
    """How much of each query of a scale is asked, ``(prefix + N_queries,)`` float64; sums to 1, or as shares do.

    Args:
        block: of a trace. scale: of it. query: see :func:`dsp_viz.maps.block_maps`.

    Raises:
        ValueError: the query lies outside the grid, or the layer has no token of that name.
    """
    full, grid = block.grid.size, scale.queries.size
    rows, columns = (interpolation(coarse, fine) for coarse, fine in zip(grid, full, strict=True))
    prefix = torch.zeros(len(block.prefix), dtype=torch.float64)
    if isinstance(query, Tensor):
        every = (len(prefix) + full[0] * full[1],)
        if query.shape not in (full, every):
            raise ValueError(f"query of shape {tuple(query.shape)}: the grid is {full}")
        given = query.cpu().to(rows)
        if query.shape == every:
            prefix, given = given[: len(prefix)], given[len(prefix) :].view(full)
        placed = rows.T @ given @ columns
    elif query in block.prefix:
        prefix[block.prefix.index(str(query))] = 1
        placed = torch.zeros(grid, dtype=torch.float64)
    elif query == "all":
        placed = torch.outer(rows.mean(0), columns.mean(0))
    elif isinstance(query, str):
        names = "".join(f", {name!r}" for name in block.prefix)
        raise ValueError(f"query={query!r}: must be (row, column) or 'all'{names}")
    else:
        check(query, full)
        placed = torch.outer(rows[query[0]], columns[query[1]])
    return torch.cat([prefix, placed.flatten()])


def rows(block: Layer, scale: Scale, query: Query, sample: int = 0) -> Tensor:
    """The finished rows of a query, ``(streams, h, prefix + N_keys)``, at least float32; arguments as :func:`asked`."""
    if scale.average is not None and isinstance(query, str) and query == "all":
        return scale.average[:, sample]
    return summed(block, scale, asked(block, scale, query), sample)


def summed(block: Layer, scale: Scale, share: Tensor, sample: int = 0) -> Tensor:
    """The rows of all queries, each times its share ``(prefix + N_queries,)``, added up: as :func:`rows`."""
    dtype = torch.promote_types(scale.right.dtype, torch.float32)
    left, right = scale.left[:, sample].to(dtype), scale.right[:, sample].to(dtype)  # (P, h, N, r)
    share = share.to(left)
    turns = [stream.turn for stream in block.streams]
    if block.finish == "softmax":
        return torch.stack([_softmax_sum(scale, left.roll(-turn, 0), right, share) for turn in turns])
    # Linear in the keys: the queries are added up first, each divided by what its rule divides by.
    (some,) = share.nonzero(as_tuple=True)  # one to four queries, unless all are asked
    left, share = left[:, :, some], share[some]
    mean = torch.stack([right.mean(2).roll(turn, 0) for turn in turns], -1)  # (P, h, r, streams)
    unit = right.shape[2] * ((left @ mean).sum(0) + block.epsilon) if block.finish == "ratio" else 1.0
    asking = left.mT @ (share[:, None] / unit).expand(right.shape[1], -1, len(turns))  # (P, h, r, streams)
    asking = torch.stack([asking[..., t].roll(-turn, 0) for t, turn in enumerate(turns)], -1)
    return (right @ asking).sum(0).movedim(-1, 0)


def _softmax_sum(scale: Scale, left: Tensor, right: Tensor, share: Tensor) -> Tensor:
    """``(h, N_keys)``: the exponential has no shortcut, so every row that is asked is computed."""
    total = right.new_zeros(right.shape[1:3])
    for queries, keys, weights in softmax_rows(scale, left, right, share != 0):
        total[:, keys] += (share[queries, None] * weights).sum(-2)
    return total


def softmax_rows(
    scale: Scale, left: Tensor, right: Tensor, wanted: Tensor, *, entries: int = ENTRIES
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows of the rule ``softmax``, some at a time.

    Args:
        scale: of a layer. left: the queries' factors, turned for a stream, ``(P, …, h, prefix + N_queries, r)``.
        right: those of the keys, ``(P, …, h, prefix + N_keys, r)``. wanted: which queries, ``(prefix + N_queries,)``.
        entries: weights that are computed at a time, of each head and sample.

    Yields:
        Of some boxes of tokens that see one another the indices of queries ``(boxes, n)`` and keys ``(boxes, m)``, and
        their weights ``(…, h, boxes, n, m)``; each query once, also such as are not wanted. The weights of a query that
        has no key left are 0.
    """
    for queries, keys in _boxes(scale, left, right):
        some = wanted[queries].any(-1)
        queries, keys = queries[some], keys[some]
        if len(queries) == 1:  # all in one, or one of many: only what is wanted
            for part in queries[wanted[queries]].split(max(1, entries // keys.shape[1])):
                yield part[None], keys, _softmax(scale, left, right, part[None], keys)
            continue
        count = max(1, entries // (queries.shape[1] * keys.shape[1]))
        for part, seen in zip(queries.split(count), keys.split(count), strict=True):
            yield part, seen, _softmax(scale, left, right, part, seen)


def _softmax(scale: Scale, left: Tensor, right: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    scores = (left[..., queries, :] @ right[..., keys, :].mT).sum(0)
    if scale.window is not None and scale.window.bias is not None:
        scores = scores + _bias(scale.window.bias, scale.keys.columns, queries, keys).to(scores)
    if scale.kept is None:
        return torch.softmax(scores, -1)
    scores = scores + scale.kept[keys].to(scores).log()[:, None]
    weights = (scores - scores.amax(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).min)).exp()
    return weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def _boxes(scale: Scale, left: Tensor, right: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Queries ``(boxes, n)``, and the keys that they see, ``(boxes, m)``: boxes of one size at a time."""
    queries, keys = (torch.arange(factor.shape[-2], device=left.device) for factor in (left, right))
    if scale.window is None:
        yield queries[None], keys[None]
        return
    tokens, sizes = keys.view(scale.keys.size), defaultdict[tuple[int, int], list[Tensor]](list)
    for rows, columns in scale.window.boxes(scale.keys):
        box = tokens[rows.start : rows.stop, columns.start : columns.stop]
        sizes[len(rows), len(columns)].append(box.flatten())
    for boxes in map(torch.stack, sizes.values()):
        yield boxes, boxes


def _bias(bias: Tensor, columns: int, queries: Tensor, keys: Tensor) -> Tensor:
    """``(h, boxes, queries, keys)``, see :class:`dsp_viz.layer.Window`."""
    below = queries[..., None] // columns - keys[:, None] // columns
    right = queries[..., None] % columns - keys[:, None] % columns
    middle = [side // 2 for side in bias.shape[1:]]
    return bias[:, middle[0] + below, middle[1] + right]


def check(query: tuple[int, int], size: tuple[int, int]) -> None:
    """
    Raises:
        ValueError: the query is no place on a grid of that size.
    """
    if len(query) != 2:
        raise ValueError(f"query={query!r}: must be (row, column) or 'all'")
    if not all(0 <= at < n for at, n in zip(query, size, strict=True)):
        raise ValueError(f"query={query}: the grid has rows 0…{size[0] - 1} and columns 0…{size[1] - 1}")


def interpolation(coarse: int, fine: int) -> Tensor:
    """Linear interpolation with half-pixel centres as a matrix ``(fine, coarse)``, float64."""
    identity = torch.eye(coarse, dtype=torch.float64)
    return F.interpolate(identity[None], size=fine, mode="linear", align_corners=False)[0].T
