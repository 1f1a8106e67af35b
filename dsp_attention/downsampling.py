"""How the tokens of a stage become those of the next, coarser one, and pixels those of the first."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .grid import as_image, as_tokens, pooled_size


class PatchConvolution(nn.Module):
    """PVT's downsampling and the first of both: a convolution as large as its stride, then a norm over channels.

    Args:
        width: channels before. dim: after. patch: side and stride.
    """

    def __init__(self, width: int, dim: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(width, dim, patch, patch)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, height, width) -> (B, C, ⌈height/patch⌉, ⌈width/patch⌉)``, channels-last."""
        x = self.proj(_whole(x, self.patch).contiguous(memory_format=torch.channels_last))
        return as_image(self.norm(as_tokens(x)), *x.shape[2:])


class PatchMerging(nn.Module):
    """Swin's downsampling: the channels of 2 × 2 tokens, a norm, a linear map without bias.

    The four come in the order of columns: upper left, lower left, upper right, lower right.

    Args:
        width: channels before. dim: after.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, height, width) -> (B, C, ⌈height/2⌉, ⌈width/2⌉)``, channels-last."""
        x = _whole(x, 2).permute(0, 2, 3, 1)
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, H, 2, W, 2, width)
        x = x.permute(0, 1, 3, 4, 2, 5).flatten(3)  # (B, H, W, 4·width)
        merged: Tensor = self.reduction(self.norm(x))
        return merged.permute(0, 3, 1, 2)


def _whole(x: Tensor, patch: int) -> Tensor:
    """Zeros at the right and the bottom, up to whole patches."""
    height, width = x.shape[2:]
    rows, columns = pooled_size(height, width, patch)
    if (rows * patch, columns * patch) == (height, width):
        return x
    return F.pad(x, (0, columns * patch - width, 0, rows * patch - height))
