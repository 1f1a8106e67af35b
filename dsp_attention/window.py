"""Softmax attention within windows of the token grid, as in Swin (Liu et al., ICCV 2021, arXiv 2103.14030)."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import check_dropout, check_heads
from .grid import check_tokens
from .optim import Role


class WindowAttention(nn.Module):
    r"""Multi-head softmax attention within windows of ``w × w`` tokens, ``softmax(q kᵀ/√d + bias) v``.

    The grid is shifted up and left by ``shift``, around its edges, and cut into windows. A query sees the keys of its
    window that came around the same edges as itself; ``bias`` depends on how the two lie to each other. Where the
    shorter side of the grid is no longer than the window, it is the window, and nothing is shifted. A grid that no
    window divides is padded at the right and the bottom; padding is never a key.

    Attributes are named as in the official layer, so its weights load as they are, without the index and the mask,
    which follow from the window and the grid. ``qkv`` and ``proj`` see the tokens in the order of the grid: what is
    projected is shifted and cut, which is the same as projecting what was shifted and cut.

    Args:
        dim: ``C``, divisible by ``num_heads``.
        num_heads: ``h``.
        window: ``w``, tokens along the side of a window, 1 or more.
        shift: 0 or more, below ``window``.
        qkv_bias: bias of the projection.
        attn_drop: dropout of the attention map. proj_drop: dropout at the end.

    Raises:
        ValueError: an argument is outside its range.
    """

    roles: ClassVar[dict[str, Role]] = {"qkv": "hidden", "proj": "hidden", "relative_position_bias_table": "exempt"}

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        *,
        window: int = 7,
        shift: int = 0,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        check_dropout(attn_drop=attn_drop, proj_drop=proj_drop)
        if window < 1 or not 0 <= shift < window:
            raise ValueError(
                f"window={window}, shift={shift}: window must be 1 or more, shift within 0 and {window - 1}"
            )
        self.dim = dim
        self.num_heads = num_heads
        self.window = window
        self.shift = shift
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window - 1) ** 2, num_heads).normal_(std=0.02)
        )
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
        """``(B, N, C) -> (B, N, C)``; arguments, dtypes and errors as for DSP-Attention."""
        H, W = check_tokens(x, self.dim, H, W)
        window, shift = self.window_of(H, W)
        q, k, v = self.heads(cut(self.qkv(x), H, W, window, shift))  # (B·windows, h, w², d)
        windows = padded(H, window) * padded(W, window) // window**2
        scores = (q @ k.mT * q.shape[-1] ** -0.5).unflatten(0, (x.shape[0], windows))  # (B, windows, h, w², w²)
        weights = (scores + self._bias_and_mask(H, W, window, shift, q)).softmax(-1).flatten(0, 1)
        out = self.attn_drop(weights).to(v.dtype) @ v
        y: Tensor = self.proj_drop(self.proj(put_together(out.transpose(1, 2).flatten(2), H, W, window, shift)))
        return y

    def heads(self, projected: Tensor) -> tuple[Tensor, ...]:
        """``q, k, v``, each ``(B, h, N, d)``, of what ``qkv`` puts out, ``(B, N, 3C)``, in the order of its tokens."""
        heads: tuple[Tensor, ...] = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return heads

    def window_of(self, H: int, W: int) -> tuple[int, int]:
        """Window and shift that are used on a grid of ``H × W``: ``(min(H, W), 0)`` if that is not above ``w``."""
        side = min(H, W)
        return (side, 0) if side <= self.window else (self.window, self.shift)

    def bias(self, window: int | None = None) -> Tensor:
        """What is added to a score, by how the query lies to the key.

        Args:
            window: that of :meth:`window_of`; by default the one that the layer was built for.

        Returns:
            ``(h, 2w−1, 2w−1)``: rows and columns that the query lies below and to the right of the key, from ``1 − w``;
            the entry in the middle is that of the query itself.
        """
        built = 2 * self.window - 1
        table: Tensor = self.relative_position_bias_table.T.unflatten(1, (built, built))
        margin = 0 if window is None else self.window - window
        return table[:, margin : built - margin, margin : built - margin]

    def _bias_and_mask(self, H: int, W: int, window: int, shift: int, like: Tensor) -> Tensor:
        """What is added to the scores: ``(h, w², w²)``, or ``(windows, h, w², w²)`` where some keys are not seen."""
        place = torch.arange(window, device=like.device)
        apart = place[:, None] - place + window - 1  # (w, w): of a query's row and a key's
        bias = self.bias(window)[:, apart[:, None, :, None], apart[None, :, None, :]]  # (h, w, w, w, w)
        bias = bias.flatten(3).flatten(1, 2).to(like.dtype)
        rows, columns = padded(H, window), padded(W, window)
        if (rows, columns) == (H, W) and not shift:
            return bias
        # Tokens that see each other have the same number: whether they came around an edge, and padding on its own, so
        # that each query sees at least itself.
        r, c = torch.arange(rows, device=like.device)[:, None], torch.arange(columns, device=like.device)
        group = torch.where((r < H) & (c < W), 2 * (r < shift) + 1 * (c < shift), 4)
        group = cut(group.view(1, -1, 1), rows, columns, window, shift).squeeze(-1)  # (windows, w²)
        unseen = group[:, None, :, None] != group[:, None, None, :]  # (windows, 1, w², w²)
        return bias.masked_fill(unseen, -torch.inf)


def padded(size: int, window: int) -> int:
    """The next multiple of ``window``."""
    return -(-size // window) * window


def cut(x: Tensor, H: int, W: int, window: int, shift: int) -> Tensor:
    """Tokens ``(B, H·W, C)`` in windows, ``(B·windows, w², C)``: padded with zeros, shifted up and left, row-major."""
    rows, columns = padded(H, window), padded(W, window)
    field: Tensor = x.unflatten(1, (H, W))
    if (rows, columns) != (H, W):
        field = F.pad(field, (0, 0, 0, columns - W, 0, rows - H))
    if shift:
        field = field.roll((-shift, -shift), (1, 2))
    field = field.unflatten(2, (-1, window)).unflatten(1, (-1, window))  # (B, rows/w, w, columns/w, w, C)
    return field.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def put_together(x: Tensor, H: int, W: int, window: int, shift: int) -> Tensor:
    """What :func:`cut` cut: windows ``(B·windows, w², C)`` as tokens ``(B, H·W, C)``."""
    rows, columns = padded(H, window), padded(W, window)
    windows = rows // window, columns // window
    field: Tensor = x.unflatten(1, (window, window)).unflatten(0, (x.shape[0] // math.prod(windows), *windows))
    field = field.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, rows, columns, C)
    if shift:
        field = field.roll((shift, shift), (1, 2))
    return field[:, :H, :W].flatten(1, 2)
