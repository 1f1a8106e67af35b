"""The record of a layer that has one map for each head: one scale, one stream, no coefficients of its own."""

from torch import Tensor

from ..layer import Finish, Grid, Layer, Scale, Stream, Window


def single(
    name: str,
    kind: str,
    finish: Finish,
    grid: Grid,
    left: Tensor,
    right: Tensor,
    values: Tensor,
    output: Tensor,
    *,
    stream: str = "",
    prefix: tuple[str, ...] = (),
    keys: Grid | None = None,
    pooled: int = 1,
    window: Window | None = None,
    local: Tensor | None = None,
    gate: Tensor | None = None,
    epsilon: float = 0.0,
) -> Layer:
    """A :class:`dsp_viz.layer.Layer`, whose attributes these are.

    Args:
        left, right: of each head, ``(B, h, N, r)``. values: ``(B, h, N_keys, d)``.
        stream: name of the only stream, by default that of the rule. keys: their grid, by default the queries'.
    """
    ones = left.new_ones(*left.shape[:2], 1)
    return Layer(
        name=name,
        kind=kind,
        grid=grid,
        streams=(Stream(stream or finish),),
        finish=finish,
        scales=(Scale(grid, keys or grid, left[None], right[None], values, pooled=pooled, window=window),),
        coefficients=ones[..., None],
        weights=ones,
        output=output,
        local=local,
        gate=gate,
        epsilon=epsilon,
        prefix=prefix,
    )


def merged(heads: Tensor) -> Tensor:
    """``(B, h, N, d)`` → ``(B, N, h·d)``, heads one after the other."""
    return heads.transpose(1, 2).flatten(2)


def split(projected: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """``(B, N, parts·h·d)`` → ``parts`` tensors ``(B, h, N, d)``."""
    return projected.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
