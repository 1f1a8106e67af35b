"""Kernels of several sizes, merged, against one slow convolution for each."""

import numpy as np
import pytest
import reference
import torch

from dsp_attention import MultiModalConvolution


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
