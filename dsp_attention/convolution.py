"""The local path beside the attention: a depthwise convolution of the values."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .grid import as_image, as_tokens
from .optim import Role


def depthwise(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Convolve each channel with its own kernel; zero-padded, so the size stays.

    Args:
        x: ``(B, C, H, W)``, best in channels-last memory. kernel: ``(C, 1, K, K)``, ``K`` odd. bias: ``(C,)``.

    Returns:
        ``(B, C, H, W)`` in the dtype of ``x``; under autocast in autocast's.
    """
    # On a CPU torch computes the gradient of a kernel that is larger than the picture several times too slowly.
    small = min(x.shape[-2:]) < kernel.shape[-1] and x.device.type == "cpu"
    if small and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
        y: Tensor = SmallDepthwise.apply(x, kernel)
        return y + bias[:, None, None]
    return F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2, groups=kernel.shape[0])


class SmallDepthwise(torch.autograd.Function):
    """A depthwise convolution whose kernel's gradient is another one; can be differentiated any number of times."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2, groups=kernel.shape[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, kernel = ctx.saved_tensors
        margin, channels = kernel.shape[-1] // 2, kernel.shape[0]
        grad_x = grad_kernel = None
        if ctx.needs_input_grad[0]:
            grad_x = F.conv_transpose2d(grad, kernel, padding=margin, groups=channels)
        if ctx.needs_input_grad[1]:
            # dL/dK[c, k] = Σ_b Σ_n g[b, c, n]·x[b, c, n + k]: of each picture's channel a convolution with the gradient
            # as the kernel. Pictures and channels together are the channels of one picture.
            maps = F.pad(x.permute(2, 3, 0, 1), [0] * 4 + [margin] * 4).flatten(2).permute(2, 0, 1)
            kernels = grad.permute(2, 3, 0, 1).flatten(2).permute(2, 0, 1)
            each = F.conv2d(maps[None], kernels[:, None], groups=len(maps))
            grad_kernel = each.reshape(-1, *kernel.shape).sum(0)
        return grad_x, grad_kernel


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
        return as_tokens(depthwise(as_image(v, H, W), self.merged_kernel(), self.bias))


class HeadwiseConvolution(nn.Conv2d):
    """A depthwise convolution that all heads share, as PolaFormer has it: ``(B, h·d, H, W)``, same shape.

    Args:
        head_dim: ``d``. kernel_size: side, odd.
    """

    def __init__(self, head_dim: int, kernel_size: int) -> None:
        super().__init__(head_dim, head_dim, kernel_size, padding=kernel_size // 2, groups=head_dim)

    def forward(self, v: Tensor) -> Tensor:
        heads = v.shape[1] // self.out_channels
        assert self.bias is not None
        return depthwise(v, self.weight.repeat(heads, 1, 1, 1), self.bias.repeat(heads))
