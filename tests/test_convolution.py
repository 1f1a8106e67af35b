"""Kernels of several sizes, merged, against one slow convolution for each."""

import numpy as np
import pytest
import reference
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from dsp_attention import MultiModalConvolution
from dsp_attention.convolution import HeadwiseConvolution, depthwise


@pytest.mark.parametrize(
    ("kernel_size", "count", "grid"), [(5, 3, (6, 7)), (3, 2, (2, 9)), (1, 1, (4, 4)), (7, 2, (1, 1))]
)
def test_equals_the_weighted_sum_of_its_kernels(kernel_size: int, count: int, grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = MultiModalConvolution(4, kernel_size=kernel_size, num_kernels=count).double()
    torch.nn.init.normal_(layer.mix)
    v = torch.randn(2, grid[0] * grid[1], 4, dtype=torch.double)
    got = layer(v, *grid).detach()
    shares = reference.softmax(layer.mix.detach().numpy())
    assert [k.shape[-1] for k in layer.kernels] == [kernel_size + 2 * i for i in range(count)]
    for sample in range(2):
        want = layer.bias.detach().numpy() + sum(
            share * reference.depthwise(v[sample].numpy(), *grid, kernel.detach().numpy()[:, 0], np.zeros(4))
            for share, kernel in zip(shares, layer.kernels, strict=True)
        )
        np.testing.assert_allclose(got[sample], want, rtol=0, atol=1e-12)


def test_initially_all_kernels_count_alike() -> None:
    layer = MultiModalConvolution(2, kernel_size=3, num_kernels=2)
    want = (torch.nn.functional.pad(layer.kernels[0], [1] * 4) + layer.kernels[1]) / 2
    torch.testing.assert_close(layer.merged_kernel(), want)


@pytest.mark.parametrize("grid", [(2, 3), (4, 9), (6, 2), (1, 1)])
def test_gradients_of_kernels_larger_than_the_picture(grid: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, *grid), (3, 1, 5, 5), (3,)
    inputs = [torch.randn(s, generator=generator, dtype=torch.double, requires_grad=True) for s in shapes]

    def slow(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(x, kernel, bias, padding=2, groups=3)

    assert "SmallDepthwise" in str(depthwise(inputs[0], inputs[1], inputs[2]).grad_fn.next_functions)  # type: ignore[union-attr]
    torch.testing.assert_close(depthwise(*inputs), slow(*inputs))
    assert gradcheck(depthwise, inputs)
    assert gradgradcheck(depthwise, inputs)
    # Of each picture by itself.
    each = [
        vmap(grad(lambda x, k, b, f=f: f(x[None], k, b).square().sum(), (0, 1, 2)), (0, None, None))(*inputs)
        for f in (depthwise, slow)
    ]
    torch.testing.assert_close(*each)


def test_heads_share_their_kernels() -> None:
    torch.manual_seed(0)
    layer = HeadwiseConvolution(3, 5).double()
    v = torch.randn(2, 6, 7, 4, dtype=torch.double)
    each = torch.nn.Conv2d.forward(layer, v.reshape(4, 3, 7, 4))
    torch.testing.assert_close(layer(v), each.reshape_as(v))
