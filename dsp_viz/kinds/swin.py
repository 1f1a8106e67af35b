"""Attention within shifted windows, ``timm.models.swin_transformer.SwinTransformerBlock`` (Swin, Liu et al. 2021, arXiv
2103.14030) and ``timm.models.swin_transformer_v2.SwinTransformerV2Block`` (Liu et al. 2022, arXiv 2111.09883).

The block is the layer here: its attention gets windows as samples, and only the block knows the picture. All windows
are put back to where they lie.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..hooks import ALL, Point
from ..layer import Grid, Layer, Window
from .kind import Entries, Seen, Unreadable
from .single import single, split


def placed(layer: Any, windows: Tensor) -> Tensor:
    """``(B·windows, rows·columns, C)`` of the shifted grid → ``(B, H·W, C)``."""
    (height, width), (rows, columns) = layer.input_resolution, layer.window_size
    cut = windows.unflatten(1, (rows, columns)).unflatten(0, (-1, height // rows, width // columns))
    grid = cut.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)  # (B, H, W, C)
    return grid.roll(tuple(layer.shift_size), (1, 2)).flatten(1, 2)


def output(layer: Any) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("attn.proj", 0), lambda y: placed(layer, y))


def _window(layer: Any, size: tuple[int, int], table: Tensor) -> Window:
    """The window of a layer that got a grid of that size; its biases from a table ``((2·rows−1)·(2·columns−1), h)``.

    Raises:
        Unreadable: the library pads such a grid, or its windows are not those of the grid that it was made for.
    """
    rows, columns = layer.window_size
    if size != tuple(layer.input_resolution):
        made = "×".join(map(str, layer.input_resolution))
        raise Unreadable(f"it got a grid of {size[0]}×{size[1]}, and was made for one of {made}: set_input_size")
    if size[0] % rows or size[1] % columns:
        raise Unreadable(
            f"its grid of {size[0]}×{size[1]} is padded to whole windows of {rows}×{columns}, and padding has no place"
        )
    bias = table.detach().unflatten(0, (2 * rows - 1, 2 * columns - 1)).permute(2, 0, 1)
    return Window((rows, columns), (layer.shift_size[0], layer.shift_size[1]), bias)


class Swin:
    """The first: scores are ``q·k/√d``, and there is a table of biases."""

    def points(self, layer: Any) -> list[Point]:
        """See :class:`dsp_viz.kinds.kind.Kind`."""
        return [Point("", ALL), Point("attn.qkv"), Point("attn.proj", 0)]

    def read(self, name: str, layer: Any, seen: Seen) -> Layer:
        """See :class:`dsp_viz.kinds.kind.Kind`."""
        attention, grid = layer.attn, Grid(*seen("")[0].shape[1:3])
        window = _window(layer, grid.size, attention.relative_position_bias_table)
        q, k, v = split(placed(layer, seen("attn.qkv")), 3, attention.num_heads)
        put_out = output(layer).take(seen("attn.proj"))
        return single(name, "windows, softmax", "softmax", grid, q * attention.scale, k, v, put_out, window=window)

    def values(self, layer: Any) -> list[Entries]:
        """See :class:`dsp_viz.kinds.kind.Kind`."""
        heads = layer.attn.num_heads
        return [Entries(Point("attn.qkv"), lambda projected: split(placed(layer, projected), 3, heads)[2])]

    output = staticmethod(output)


class SwinV2:
    """The second: scores are a learnt multiple of the cosine of ``q`` and ``k``, biases come from a small network."""

    def points(self, layer: Any) -> list[Point]:
        """See :class:`dsp_viz.kinds.kind.Kind`."""
        return [Point("", ALL), Point("attn", 0), Point("attn.cpb_mlp"), Point("attn.proj", 0)]

    def read(self, name: str, layer: Any, seen: Seen) -> Layer:
        """See :class:`dsp_viz.kinds.kind.Kind`. The layer uses the weights of its projection without calling it."""
        attention, grid = layer.attn, Grid(*seen("")[0].shape[1:3])
        heads = attention.num_heads
        window = _window(layer, grid.size, 16 * torch.sigmoid(seen("attn.cpb_mlp")).view(-1, heads))
        bias = None
        if attention.q_bias is not None:
            bias = torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
        q, k, v = split(placed(layer, F.linear(seen("attn"), attention.qkv.weight, bias)), 3, heads)
        factor = attention.logit_scale.clamp(max=torch.tensor(100.0).log().item()).exp()
        left, right = F.normalize(q, dim=-1) * factor, F.normalize(k, dim=-1)
        put_out = output(layer).take(seen("attn.proj"))
        return single(name, "windows, softmax of cosines", "softmax", grid, left, right, v, put_out, window=window)

    def values(self, layer: Any) -> list[Entries]:
        """See :class:`dsp_viz.kinds.kind.Kind`. No submodule puts them out: a head is left out where it is put out."""
        heads = layer.attn.num_heads
        return [Entries(Point("attn.proj", 0), lambda y: split(placed(layer, y), 1, heads)[0])]

    output = staticmethod(output)
