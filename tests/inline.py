"""InLine attention (Han et al., NeurIPS 2024, arXiv 2412.06590) as people would bring it: a layer, a reader, one entry.

``A_ij = (s/N) q_i·k_j + (1 - s q_i·k̄)/N`` with ``s = 1/√d`` and ``k̄`` the mean of the keys: linear attention whose rows
sum to 1 by subtraction instead of by division, so that entries may be negative.
"""

import math

import torch
from torch import Tensor, nn

from dsp_attention import DSPImageClassifier
from dsp_attention.grid import grid_size
from dsp_viz.hooks import ALL, Point
from dsp_viz.kinds.kind import Entries, Seen
from dsp_viz.layer import Grid, Layer, Scale, Stream


class InLineAttention(nn.Module):
    """``(B, N, C) -> (B, N, C)``, never as ``N×N``."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def heads(self, projected: Tensor) -> tuple[Tensor, ...]:
        """``q, k, v``, each ``(B, h, N, d)``."""
        return projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
        q, k, v = self.heads(self.qkv(x))
        N, scale = k.shape[2], 1 / math.sqrt(q.shape[-1])
        mean = k.mean(2, keepdim=True)
        attended = q @ (k.mT @ v) * (scale / N) + (1 - scale * (q * mean).sum(-1, keepdim=True)) * v.mean(
            2, keepdim=True
        )
        return self.proj(attended.transpose(1, 2).flatten(2))


class InLine:
    """The reader."""

    def points(self, layer: InLineAttention) -> list[Point]:
        return [Point("", ALL), Point("qkv"), Point("proj", 0)]

    def read(self, name: str, layer: InLineAttention, seen: Seen) -> Layer:
        _, *size = seen("")
        q, k, v = layer.heads(seen("qkv"))
        N, scale = k.shape[2], 1 / math.sqrt(q.shape[-1])
        rest = 1 - scale * (q * k.mean(2, keepdim=True)).sum(-1, keepdim=True)
        left = torch.cat([scale * q, rest], -1) / N
        right = torch.cat([k, torch.ones_like(k[..., :1])], -1)
        grid, ones = Grid(*grid_size(N, *size)), q.new_ones(*q.shape[:2], 1)
        scales = (Scale(grid, grid, left[None], right[None], v),)
        return Layer(
            name, "InLine attention", grid, (Stream("inline"),), "product", scales, ones[..., None], ones, seen("proj")
        )

    def values(self, layer: InLineAttention) -> list[Entries]:
        return [Entries(Point("qkv"), lambda projected: layer.heads(projected)[2])]

    def output(self, layer: InLineAttention) -> Entries:
        return Entries(Point("proj", 0), lambda y: y)


#: The one entry: ``KINDS[NAME] = InLine()``.
NAME = f"{__name__}.InLineAttention"


def classifier(depth: int = 3) -> DSPImageClassifier:
    """A small untrained classifier of 10 classes for pictures of 64 pixels a side, with InLine attention."""
    torch.manual_seed(0)
    network = DSPImageClassifier(
        image_size=64, patch=8, dim=12, num_heads=3, depth=depth, num_classes=10, attention="softmax"
    )
    for block in network.model.blocks:
        block.attn = InLineAttention(12, 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)
