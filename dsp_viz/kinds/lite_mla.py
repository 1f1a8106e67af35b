r"""EfficientViT's linear attention, ``timm.models.efficientvit_mit.LiteMLA`` (Cai et al. 2023, arXiv 2205.14756).

.. math:: A_{ij} = \frac{\varphi(q_i)\cdot\varphi(k_j)}{\sum_{j'} \varphi(q_i)\cdot\varphi(k_{j'}) + \epsilon},
          \quad \varphi = \mathrm{relu}

Of its ``2h`` heads the first ``h`` attend to the tokens themselves, the others to 5×5 aggregates of queries, keys and
values. The layer works in float32, whatever it is given.
"""

from typing import Any

import torch

from ..hooks import Point
from ..layer import Grid, Layer
from .kind import Entries, Seen
from .single import single


def points(layer: Any) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    aggregates = (Point(f"aggreg.{i}") for i in range(len(layer.aggreg)))
    return [Point("qkv"), *aggregates, Point("kernel_func"), Point("proj", 0)]


def read(name: str, layer: Any, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`. The kernel is called twice, for queries and for keys."""
    projected = torch.cat([seen("qkv"), *(seen(f"aggreg.{i}") for i in range(len(layer.aggreg)))], 1)  # (B, C, H, W)
    grid = Grid(*projected.shape[-2:])
    heads = projected.flatten(2).unflatten(1, (-1, 3 * layer.dim)).mT  # (B, h, N, [q, k, v])
    return single(
        name,
        "EfficientViT's linear attention",
        "ratio",
        grid,
        seen("kernel_func", -2).float(),
        seen("kernel_func", -1).float(),
        heads.chunk(3, -1)[2].float(),
        output(layer).take(seen("proj")),
        stream="linear",
        # ε is added to the sum of a row here.
        epsilon=layer.eps / heads.shape[2],
    )


def values(layer: Any) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`. Aggregates are made of the same values, so a head is left out where it is
    put out."""
    width = layer.dim
    return [Entries(Point("proj", 0), lambda y: y.flatten(2).unflatten(1, (-1, width)).mT)]


def output(layer: Any) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("proj", 0), lambda y: y.flatten(2).mT)
