r"""MobileViT v2's separable attention, ``timm.models.mobilevit.LinearSelfAttention`` (Mehta and Rastegari 2022,
arXiv 2206.02680).

.. math:: o_i = \mathrm{relu}(v_i) \odot \sum_j s_j\,k_j, \quad s = \mathrm{softmax}_N(c)

The row is the same for every query: which one asks does not matter. The layer cuts the picture into small patches, and
pixels in different places of a patch never meet: each place is a head here, on the grid of patches.
"""

from typing import Any

import torch
from torch import Tensor

from ..hooks import Point
from ..layer import Grid, Layer
from .around import Tokens, tokens
from .kind import Entries, Seen
from .single import merged, single


def points(layer: Any) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Point("qkv_proj"), Point("out_proj", 0)]


def read(name: str, layer: Any, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    width = layer.embed_dim
    score, key, value = (_by_place(part) for part in seen("qkv_proj").split([1, width, width], 1))  # (B, P, N, …)
    return single(
        name,
        "MobileViT v2's attention, the same for every query; a head for each pixel of a patch",
        "product",
        tokens(seen).grid,
        torch.ones_like(score),
        score.softmax(2),
        key,
        output(layer).take(seen("out_proj")),
        stream="shared",
        gate=merged(value.relu()),
    )


def _by_place(tensor: Tensor) -> Tensor:
    """``(B, C, P, N)`` → ``(B, P, N, C)``."""
    return tensor.permute(0, 2, 3, 1)


def values(layer: Any) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`. They are what the layer calls keys."""
    return [Entries(Point("qkv_proj"), lambda projected: _by_place(projected[:, 1 : 1 + layer.embed_dim]))]


def output(layer: Any) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("out_proj", 0), lambda y: merged(_by_place(y)))


class Patches:
    """Where the patches of a ``timm.models.mobilevit.MobileVitV2Block`` lie: a :class:`dsp_viz.kinds.around.Around`."""

    def points(self, module: Any) -> list[Point]:
        """What the block cuts, stretched to whole patches before."""
        return [Point("conv_1x1")]

    def read(self, module: Any, seen: Seen) -> Tokens:
        """Patches, row by row."""
        rows, columns = (n // side for n, side in zip(seen("conv_1x1").shape[-2:], module.patch_size, strict=True))
        return Tokens(Grid(rows, columns))
