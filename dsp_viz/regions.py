"""Regions of the picture that keys have to lie in, whatever the attention and its grid."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from . import maps
from .faults import InterventionError
from .layer import WHOLE, Grid, Layer, Scale
from .rebuilding import Revision

Side = Annotated[int, Field(ge=1, le=1024)]
Position = Annotated[int, Field(ge=0, lt=1024)]


class Value(BaseModel):
    """Immutable; a field that does not exist, or of another type, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Restrict(Value):
    """Let queries attend only to keys within a region of the picture; with several regions, within all of them.

    A key outside is left out of numerator and normaliser alike, so that rows of the rules ``ratio`` and ``softmax`` sum
    to 1 again; with the rule ``product``, which has no normaliser, its share is missing. A key counts by the share of
    its area that lies within, such as one that pools several tokens. Tokens without a place, such as a class token,
    stay; a query that has no key left gets nothing.

    Attributes:
        grid: ``(H, W)`` of the picture's tokens: the layer's own, or of a pyramid's finest layer.
        tokens: ``(row, column)`` of those within the region, at least one and at most 65,536, each once.
    """

    kind: Literal["restrict"] = "restrict"
    grid: tuple[Side, Side]
    tokens: Annotated[tuple[tuple[Position, Position], ...], Field(max_length=2**16, fail_fast=True)]
    block: int | None = None

    @cached_property
    def inside(self) -> frozenset[tuple[int, int]]:
        """The tokens.

        Raises:
            InterventionError: there is none, one is outside the grid, or one is there twice.
        """
        H, W = self.grid
        tokens = frozenset(self.tokens)
        if not tokens or max(r for r, _ in tokens) >= H or max(c for _, c in tokens) >= W:
            raise InterventionError(f"tokens: at least one is needed, each within the grid of {H}×{W}")
        if len(tokens) < len(self.tokens):
            raise InterventionError("tokens: one is there twice; each may be there once")
        return tokens


def restriction(regions: Sequence[Restrict]) -> Revision:
    """What all these regions make of a layer's record.

    Raises:
        InterventionError: the regions are of different grids, or have no token in common.
    """
    size = H, W = regions[0].grid
    other = next((region.grid for region in regions if region.grid != size), None)
    if other is not None:
        raise InterventionError(f"grid={other}: another region has grid={size}, but a picture has one")
    common = frozenset.intersection(*(region.inside for region in regions))
    if not common:
        raise InterventionError("tokens: no token is within all regions; at least one is needed")
    rows, columns = torch.tensor(sorted(common)).T

    def revision(record: Layer) -> Layer:
        if not _refines(size, record.grid.size):
            raise InterventionError(f"grid={size}: the picture's tokens form another grid, {record.grid.size}")
        inside = torch.zeros(H, W, dtype=torch.float64)  # made here, where the grid is known to be the picture's
        inside[rows, columns] = 1
        return replace(record, scales=tuple(_left(record, scale, inside) for scale in record.scales))

    return revision


def _refines(size: tuple[int, int], coarse: tuple[int, int]) -> bool:
    """Whether a grid is another one, or one that later stages of a pyramid may make it of, whole or cut at the end."""
    return any(
        all(m in (n // factor, -(-n // factor)) for n, m in zip(size, coarse, strict=True))
        for factor in range(1, max(size) + 1)
    )


def _left(record: Layer, scale: Scale, inside: Tensor) -> Scale:
    H, W = inside.shape
    box = record.grid.box if record.grid.size == (H, W) else WHOLE  # that of a pyramid's finest layer
    share = maps.covered(inside, scale.keys, Grid(H, W, box)).flatten()
    kept = torch.cat([share.new_ones(len(record.prefix)), share]).to(scale.right)
    if record.finish == "softmax":
        return replace(scale, kept=kept if scale.kept is None else kept * scale.kept, average=None)
    return replace(scale, right=scale.right * kept[:, None], average=None)
