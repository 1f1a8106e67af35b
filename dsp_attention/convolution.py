"""The local path beside the attention: a depthwise convolution of the values."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .grid import as_image, as_tokens
from .optim import Role


class MultiModalConvolution(nn.Module):
    r"""Depthwise convolutions of several kernel sizes, merged by learned softmax weights.

    .. math:: y = \Bigl(\sum_i \mathrm{softmax}(m)_i K_i\Bigr) * v + b

    with kernels of side ``kernel_size, +2, +4, …``. By linearity the kernels are added up first (zero-padded to
    the largest), so one convolution runs whatever their number. Applied to the values: a low-rank attention output
    stays low-rank under a convolution, and repairing the rank is what PolaFormer's convolution is for.

    Args:
        dim: ``C``.
        kernel_size: smallest side, odd.
        num_kernels: how many kernels.

    Raises:
        ValueError: ``kernel_size`` is even or below 1.
    """

    roles: ClassVar[dict[str, Role]] = {"mix": "structure"}

    def __init__(self, dim: int, *, kernel_size: int = 5, num_kernels: int = 3) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size}: must be odd and positive, such as 3, 5 or 7")
        sides = [kernel_size + 2 * i for i in range(num_kernels)]
        bound = 1 / kernel_size
        self.kernels = nn.ParameterList([torch.empty(dim, 1, k, k).uniform_(-bound, bound) for k in sides])
        self.mix = nn.Parameter(torch.zeros(num_kernels))
        self.bias = nn.Parameter(torch.empty(dim).uniform_(-bound, bound))

    def merged_kernel(self) -> Tensor:
        """The one kernel that runs, ``(C, 1, K, K)`` with ``K`` the largest side."""
        largest = self.kernels[-1].shape[-1]
        merged = torch.zeros_like(self.kernels[-1])
        for share, kernel in zip(torch.softmax(self.mix, 0), self.kernels, strict=True):
            margin = (largest - kernel.shape[-1]) // 2
            merged = merged + share * F.pad(kernel, [margin] * 4)
        return merged

    def forward(self, v: Tensor, H: int, W: int) -> Tensor:
        """Convolve values ``(B, N, C)`` over the grid; zero-padded, same shape and dtype (autocast's under it)."""
        kernel = self.merged_kernel()
        image = as_image(v, H, W)
        return as_tokens(F.conv2d(image, kernel, self.bias, padding=kernel.shape[-1] // 2, groups=kernel.shape[0]))
