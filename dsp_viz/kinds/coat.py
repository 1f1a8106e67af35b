r"""CoaT's factorised attention, ``timm.models.coat.FactorAttnConvRelPosEnc`` (Xu et al. 2021, arXiv 2104.06399).

.. math:: A_{ij} = \frac{1}{\sqrt d}\, q_i \cdot \mathrm{softmax}_N(k)_j

The softmax is over tokens, for each channel, so rows have two signs and do not sum to 1. To the maps' share each token
adds ``q ⊙ conv(v)``, its relative positions; the class token adds nothing.
"""

from typing import Any

from ..hooks import ALL, Point
from ..layer import Grid, Layer
from .kind import Entries, Seen
from .single import merged, single, split


def points(layer: Any) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Point("", ALL), Point("qkv"), Point("proj", 0)]


def read(name: str, layer: Any, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`. Layers share their positions' module, so it is asked again, not read."""
    size = tuple(seen("")[1])
    q, k, v = split(seen("qkv"), 3, layer.num_heads)
    return single(
        name,
        "CoaT's factorised attention",
        "product",
        Grid(*size),
        q * layer.scale,
        k.softmax(2),
        v,
        seen("proj"),
        stream="factorised",
        prefix=("class",),
        local=merged(layer.crpe(q, v, size=size)),
    )


def values(layer: Any) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`. The convolution takes the same values, so it is left out with them, but for
    its bias."""
    return [Entries(Point("qkv"), lambda projected: split(projected, 3, layer.num_heads)[2])]


def output(layer: Any) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("proj", 0), lambda y: y)
