"""Layers whose tokens do not all see one another, or have no place, as libraries compute them, and their readers."""

import math

import torch
from torch import Tensor, nn

from dsp_viz.hooks import ALL, Point
from dsp_viz.kinds.kind import Entries, Seen
from dsp_viz.layer import Finish, Grid, Layer, Scale, Stream, Window

#: Entries of ``dsp_viz.kinds.KINDS`` are made of these names.
WINDOWS, TOKENS = f"{__name__}.Windows", f"{__name__}.Tokens"


class Windows(nn.Module):
    """Swin's shifted windows, step by step: roll, cut, a table of biases, a mask, roll back. The grid is given."""

    def __init__(self, dim: int, heads: int, grid: tuple[int, int], size: tuple[int, int], shift: tuple[int, int]):
        super().__init__()
        self.heads, self.grid, self.size, self.shift = heads, grid, size, shift
        self.table = nn.Parameter(torch.randn((2 * size[0] - 1) * (2 * size[1] - 1), heads))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, projected: Tensor) -> tuple[Tensor, ...]:
        """``q, k, v``, each ``(B, h, N, d)``."""
        return projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def cut(self, tokens: Tensor) -> Tensor:
        """``(…, N, d)`` → ``(…, windows, tokens of one, d)``."""
        (R, C), (down, right) = self.size, self.shift
        rolled = tokens.unflatten(-2, self.grid).roll((-down, -right), (-3, -2))
        windows = rolled.unflatten(-3, (-1, R)).unflatten(-2, (-1, C)).transpose(-4, -3)  # (…, down, across, R, C, d)
        return windows.flatten(-5, -4).flatten(-3, -2)

    def forward(self, x: Tensor) -> Tensor:
        (H, W), (R, C), (down, right) = self.grid, self.size, self.shift
        q, k, v = (self.cut(part) for part in self.split(self.qkv(x)))  # (B, h, windows, n, d)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        for i in range(R * C):
            for j in range(R * C):
                below, beside = i // C - j // C, i % C - j % C
                scores[..., i, j] += self.table[(below + R - 1) * (2 * C - 1) + beside + C - 1][:, None]
        # Which edge a token came around: rows and columns before the shift are at the end now.
        edges = (2 * (torch.arange(H) < down)[:, None] + (torch.arange(W) < right)).to(x).view(-1, 1)
        edges = self.cut(edges)[..., 0]  # (windows, n)
        scores = scores.masked_fill(edges[:, :, None] != edges[:, None], -math.inf)
        out = torch.softmax(scores, -1) @ v
        out = (
            out.unflatten(-3, (H // R, W // C)).unflatten(-2, (R, C)).transpose(-4, -3).flatten(-5, -4).flatten(-3, -2)
        )
        out = out.roll((down, right), (-3, -2)).flatten(-3, -2)  # (B, h, N, d)
        return self.proj(out.transpose(1, 2).flatten(2))


class WindowReader:
    """Of :class:`Windows`."""

    def points(self, layer: Windows) -> list[Point]:
        return [Point("qkv"), Point("proj", 0)]

    def read(self, name: str, layer: Windows, seen: Seen) -> Layer:
        q, k, v = layer.split(seen("qkv"))
        grid, ones = Grid(*layer.grid), q.new_ones(*q.shape[:2], 1)
        bias = layer.table.T.unflatten(-1, tuple(2 * side - 1 for side in layer.size)).detach()
        window = Window(layer.size, layer.shift, bias)
        scale = Scale(grid, grid, q[None] / math.sqrt(q.shape[-1]), k[None], v, window=window)
        return Layer(
            name, "windows", grid, (Stream("softmax"),), "softmax", (scale,), ones[..., None], ones, seen("proj")
        )

    def values(self, layer: Windows) -> list[Entries]:
        return [Entries(Point("qkv"), lambda projected: layer.split(projected)[2])]

    def output(self, layer: Windows) -> Entries:
        return Entries(Point("proj", 0), lambda y: y)


class Tokens(nn.Module):
    """A class token and a register before the tokens of a grid; all see all, by one of the three rules."""

    prefix = ("class", "register 1")

    def __init__(self, dim: int, heads: int, finish: Finish):
        super().__init__()
        self.heads, self.finish = heads, finish
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    split = Windows.split

    def factors(self, projected: Tensor) -> tuple[Tensor, ...]:
        """``left, right, values``, each ``(B, h, N, d)``."""
        q, k, v = self.split(projected)
        if self.finish == "ratio":
            return q.relu(), k.relu(), v
        return q / math.sqrt(q.shape[-1]), torch.softmax(k, 2) if self.finish == "product" else k, v

    def forward(self, x: Tensor, H: int, W: int) -> Tensor:
        left, right, v = self.factors(self.qkv(x))
        scores = left @ right.mT
        if self.finish == "ratio":
            scores = scores / (scores.sum(-1, keepdim=True) + 1e-3)
        elif self.finish == "softmax":
            scores = torch.softmax(scores, -1)
        return self.proj((scores @ v).transpose(1, 2).flatten(2))


class TokenReader:
    """Of :class:`Tokens`."""

    def points(self, layer: Tokens) -> list[Point]:
        return [Point("", ALL), Point("qkv"), Point("proj", 0)]

    def read(self, name: str, layer: Tokens, seen: Seen) -> Layer:
        x, H, W = seen("")
        left, right, v = layer.factors(seen("qkv"))
        grid, ones = Grid(H, W), v.new_ones(*v.shape[:2], 1)
        scales = (Scale(grid, grid, left[None], right[None], v),)
        return Layer(
            name, "tokens", grid, (Stream("all"),), layer.finish, scales, ones[..., None], ones, seen("proj"),
            epsilon=1e-3 / x.shape[1] if layer.finish == "ratio" else 0.0, prefix=layer.prefix,
        )  # fmt: skip

    def values(self, layer: Tokens) -> list[Entries]:
        return [Entries(Point("qkv"), lambda projected: layer.split(projected)[2])]

    def output(self, layer: Tokens) -> Entries:
        return Entries(Point("proj", 0), lambda y: y)
