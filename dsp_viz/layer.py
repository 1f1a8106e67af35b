"""The record of an attention layer: two thin factors for every map, and the rule that finishes a row of it.

Whatever the attention, ``l_i·r_j`` of a query's left and a key's right factor is one entry of a map before it is
finished. So a record says for each scale where queries and keys lie in the picture, what the factors are, and which of
the three rules makes a row of them; nothing that reads a record needs to know which attention it is of.

Axes as in :mod:`dsp_attention`, with ``P`` parts of the factors, ``r`` numbers in each: ``l·r`` sums over both.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import pairwise, product
from typing import Any, Literal

import torch
from torch import Tensor

#: How a row of query ``i`` is made of ``s_j = Σ_p l_ip·r_jp``: ``s_j / (Σ_j s_j + N ε)``, ``s_j``, ``softmax_j(s_j)``.
Finish = Literal["ratio", "product", "softmax"]

#: What a stream is: one of the two of polarity-aware attention, or the only one.
Role = Literal["same", "opposite", "only"]

#: All of the picture: top, left, bottom, right.
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Grid:
    """Places in the picture, ``rows × columns`` equal cells, row-major.

    Attributes:
        rows, columns: how many.
        box: top, left, bottom and right edge of all of them together, as shares of the picture's height and width.
            Cells may reach beyond its edge, as those do that pool an odd number of tokens.
    """

    rows: int
    columns: int
    box: tuple[float, float, float, float] = WHOLE

    @property
    def size(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        return self.rows, self.columns

    def part(self, rows: range, columns: range) -> "Grid":
        """The grid of some of its cells, a rectangle."""
        top, left, bottom, right = self.box
        tall, wide = (bottom - top) / self.rows, (right - left) / self.columns
        start, stop = (top + tall * rows.start, left + wide * columns.start), (tall * rows.stop, wide * columns.stop)
        return Grid(len(rows), len(columns), (*start, top + stop[0], left + stop[1]))

    def pooled(self, factor: int) -> "Grid":
        """The grid whose cells hold ``factor × factor`` of this one's, fewer at the end of an odd side."""
        rows, columns = (-(-n // factor) for n in self.size)
        top, left, bottom, right = self.box
        bottom = top + (bottom - top) * (rows * factor / self.rows)
        right = left + (right - left) * (columns * factor / self.columns)
        return Grid(rows, columns, (top, left, bottom, right))


@dataclass(frozen=True)
class Stream:
    """One of the maps that a head has at each scale.

    Attributes:
        name: what people read. role: what it stands for.
        turn: by how many of the ``P`` parts the left factor is turned for it: with 1 of 2 they change places, so that
            positive features of the query meet negative ones of the keys.
        columns: of a head's values that it acts on, from and to; None for all.
    """

    name: str
    role: Role = "only"
    turn: int = 0
    columns: tuple[int, int] | None = None


@dataclass(frozen=True)
class Window:
    """Which keys a query sees, where it does not see all: those of its own window of the grid (Swin, Liu et al. 2021).

    Rows and columns are shifted up and left by ``shift``, around the edges; then the grid is cut into windows. A query
    sees the keys of its window that came around the same edges as itself: a rectangle of the grid, see :meth:`boxes`.

    Attributes:
        size: rows and columns of a window; those at the end of the grid may be cut. shift: of rows and columns, below
            ``size``.
        bias: added to the score of a query and a key by how many rows and columns the query lies below and to the right
            of the key, ``(h, 2·rows − 1, 2·columns − 1)``; the entry in the middle is that of the query itself.
    """

    size: tuple[int, int]
    shift: tuple[int, int] = (0, 0)
    bias: Tensor | None = None

    def boxes(self, grid: Grid) -> list[tuple[range, range]]:
        """Rows and columns of the tokens that see one another; each token is in one box."""
        rows, columns = (
            [range(*ends) for ends in pairwise([0, *range(shift or size, n, size), n])]
            for n, size, shift in zip(grid.size, self.size, self.shift, strict=True)
        )
        return list(product(rows, columns))


@dataclass(frozen=True)
class Scale:
    """The factors of a layer's maps at one scale.

    Queries and keys are the layer's prefix tokens, if it has any, and then the cells of a grid.

    Attributes:
        queries, keys: where they lie. A token of the layer asks the queries around it, by linear interpolation with
            half-pixel centres.
        left: ``l``, ``(P, B, h, N_queries, r)``. right: ``r``, ``(P, B, h, N_keys, r)``.
        values: ``v``, ``(B, h, N_keys, d)``.
        pooled: tokens of the layer along each side of a key.
        average: the mean of all rows, ``(streams, B, h, N_keys)``, kept where only all rows give it.
        window: which keys a query sees; None: all. Only with the rule ``softmax``, the layer's grid for queries and
            keys, and no prefix tokens.
        kept: how much of each key is left where a region of the picture was left out of what queries see,
            ``(N_keys,)``: its exponential is multiplied by it. Only with the rule ``softmax``.
    """

    queries: Grid
    keys: Grid
    left: Tensor
    right: Tensor
    values: Tensor
    pooled: int = 1
    average: Tensor | None = None
    window: Window | None = None
    kept: Tensor | None = None


@dataclass(frozen=True)
class Parts:
    """What only DSP-Attention has.

    Attributes:
        fields: q and k before the filters, of each scale, ``(B, H_s, W_s, 2, h, d)``.
        summaries: the context's summaries by name, ``(B, width)``.
        filters: ``D``, ``(2, h, 2M-1, M)`` complex.
        ema: tracked gradients, ``(h, S)``.
    """

    fields: tuple[Tensor, ...]
    summaries: dict[str, Tensor]
    filters: Tensor
    ema: Tensor


@dataclass(frozen=True)
class Layer:
    """What one attention layer computed in one pass.

    Attributes:
        name: module path. kind: of attention, in words, for people.
        stage: of a pyramid, from 0: layers of one grid are a stage, numbered as their grids first appear.
        prefix: names of tokens without a place, such as a class token, which come first: among the queries and the keys
            of every scale, and in ``output``, ``local`` and ``gate``.
        grid: its other tokens. streams: of its maps. finish: the rule of their rows.
        scales: the factors, finest first.
        coefficients: ``c``, ``(B, h, S, streams)``; 1 where a layer has none.
        weights: ``w``, the mixing weights, ``(B, h, S)``; 1 where a layer has none.
        output: what the maps have to rebuild, ``(B, prefix + N, C)``, heads one after the other along ``C``:
            ``gate ⊙ (local + Σ_s w_s c_s A_s v_s)``.
        local: what is added to the maps' share, as ``output``, such as a convolution of the values.
        gate: what multiplies the sum, as ``output``.
        epsilon: ``ε`` of the rule ``ratio``, for the mean of a row.
        dynamic: whether coefficients and mixing weights are the layer's own.
        parts: what only DSP-Attention has.
    """

    name: str
    kind: str
    grid: Grid
    streams: tuple[Stream, ...]
    finish: Finish
    scales: tuple[Scale, ...]
    coefficients: Tensor
    weights: Tensor
    output: Tensor
    local: Tensor | None = None
    gate: Tensor | None = None
    epsilon: float = 0.0
    stage: int = 0
    prefix: tuple[str, ...] = ()
    dynamic: bool = False
    parts: Parts | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The coarsest of the types that its factors, values and output have."""
        tensors = [self.output, *(t for scale in self.scales for t in (scale.left, scale.right, scale.values))]
        return max((tensor.dtype for tensor in tensors), key=lambda dtype: torch.finfo(dtype).eps)

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: a window where there can be none, see :class:`Scale`.
        """
        for scale in self.scales:
            if scale.window is None:
                continue
            grids = {self.grid.size, scale.queries.size, scale.keys.size}
            if self.finish != "softmax" or self.prefix or len(grids) > 1:
                raise ValueError(
                    f"{self.name}: windows need the rule softmax, one grid, and no prefix tokens; here are "
                    f"{self.finish}, {sorted(grids)} and {len(self.prefix)} prefix tokens"
                )


def near(record: Layer) -> Layer:
    """The record on the CPU, as it is where it lies there."""
    found: Layer = record if record.output.device.type == "cpu" else _on_cpu(record)
    return found


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(part) for name, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _on_cpu(getattr(value, f.name)) for f in fields(value)})
    return tuple(map(_on_cpu, value)) if isinstance(value, tuple) else value


def sample(record: Layer, index: int) -> Layer:
    """The record of one picture of several that ran together, as if it had run alone."""

    def own(tensor: Tensor, axis: int = 0) -> Tensor:
        return tensor.narrow(axis, index, 1).clone()  # a view would keep what was recorded of the others

    scales = tuple(
        replace(
            scale,
            left=own(scale.left, 1),
            right=own(scale.right, 1),
            values=own(scale.values),
            average=None if scale.average is None else own(scale.average, 1),
        )
        for scale in record.scales
    )
    parts = record.parts and replace(
        record.parts,
        fields=tuple(map(own, record.parts.fields)),
        summaries={name: own(summary) for name, summary in record.parts.summaries.items()},
    )
    return replace(
        record,
        scales=scales,
        coefficients=own(record.coefficients),
        weights=own(record.weights),
        output=own(record.output),
        local=None if record.local is None else own(record.local),
        gate=None if record.gate is None else own(record.gate),
        parts=parts,
    )


@dataclass(frozen=True)
class Trace:
    """What one forward pass showed.

    Attributes:
        output: of the model, such as logits ``(B, num_classes)``.
        blocks: its attention layers, those whose maps were verified, in order.
        verified: how far their maps were off from what the layers put out, at most, see :mod:`dsp_viz.proof`.
        refused: of each layer that is not shown, why.
    """

    output: Tensor
    blocks: tuple[Layer, ...]
    verified: float
    refused: tuple[str, ...] = ()

    @property
    def rounded(self) -> str:
        """The coarsest type that a layer works in, where that is coarser than float32, such as ``"bfloat16"``; else
        "". Maps are as exact as that."""
        coarsest = max((block.dtype for block in self.blocks), key=lambda dtype: torch.finfo(dtype).eps)
        return str(coarsest).removeprefix("torch.") if torch.finfo(coarsest).bits < 32 else ""

    @property
    def grid(self) -> Grid:
        """The finest grid of tokens: what a place in the picture is given on."""
        return max((block.grid for block in self.blocks), key=lambda grid: grid.rows * grid.columns)
