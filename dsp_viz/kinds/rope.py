"""Softmax attention with rotary positions: ``timm.models.eva.EvaAttention`` and ``timm.layers.attention.AttentionRope``
(EVA-02, DINOv3, Perception Encoder).

Queries and keys with a place are rotated by it (RoFormer, Su et al. 2021, arXiv 2104.09864), pairs of their numbers by
an angle each, after which the rows are those of softmax attention.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..hooks import ALL, Point
from ..layer import Layer
from . import vit
from .around import tokens
from .kind import Entries, Seen
from .single import single, split


def points(layer: Any) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    projection = _projection(layer)
    source = Point("", ALL), Point("q_norm"), Point("k_norm"), Point("norm", 0)
    return [*source, Point(projection)] if projection else list(source)


def read(name: str, layer: Any, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    grid, prefix, _ = tokens(seen)
    x, *more = seen("")
    rope = more[0] if more else None
    q, k = (_turned(layer, seen(path), rope) for path in ("q_norm", "k_norm"))  # (B, h, N, d)
    vit.counted(q.shape[2], grid.rows * grid.columns, prefix)
    groups = q.shape[1] // k.shape[1]
    projection = _projection(layer)
    v = _heads(layer, seen(projection)) if projection else _values(layer, x, k.shape[1])
    return single(
        name,
        "softmax attention with rotary positions",
        "softmax",
        grid,
        q * layer.scale,
        k.repeat_interleave(groups, 1),
        v.repeat_interleave(groups, 1),
        seen("norm"),
        prefix=prefix,
    )


def _projection(layer: Any) -> str:
    """The submodule that puts out the values; "" where none does, or where several heads share them."""
    if layer.qkv is None:
        return "v_proj" if getattr(layer, "num_kv_groups", 1) == 1 else ""
    # With biases of its own EVA uses the weights of the projection without calling it, or adds to what it put out.
    return "qkv" if getattr(layer, "q_bias", None) is None else ""


def _heads(layer: Any, projected: Tensor) -> Tensor:
    """Values ``(B, h, N, d)`` in what the projection puts out."""
    return split(projected, 3 if layer.qkv is not None else 1, layer.num_heads)[-1]


def _values(layer: Any, x: Tensor, heads: int) -> Tensor:
    """Values ``(B, h, N, d)`` from the layer's input, of as many heads as keys have."""
    if layer.qkv is None:
        projected = F.linear(x, layer.v_proj.weight, layer.v_proj.bias)
    else:
        projected = F.linear(x, layer.qkv.weight.chunk(3)[2], layer.v_bias)
    return split(projected, 1, heads)[0]


def _turned(layer: Any, x: Tensor, rope: Tensor | None) -> Tensor:
    """``x cos + x' sin`` for tokens with a place; ``x'`` is ``x`` turned by a right angle, in pairs of neighbours or of
    the same place in its two halves."""
    if rope is None:
        return x
    first, x = x.tensor_split([layer.num_prefix_tokens], 2)
    sine, cosine = rope.chunk(2, -1)
    if getattr(layer, "rotate_half", False):
        low, high = x.chunk(2, -1)
        turned = torch.cat([-high, low], -1)
    else:
        turned = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    return torch.cat([first, x * cosine + turned * sine], 2)


def values(layer: Any) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`. If no submodule puts them out, a head is left out where it is put out."""
    projection = _projection(layer)
    if projection:
        return [Entries(Point(projection), lambda projected: _heads(layer, projected))]
    return [Entries(Point("norm", 0), lambda y: split(y, 1, layer.num_heads)[0])]


output = vit.output
