"""What the benchmarks count, against counts by hand; what they time is never a test."""

import pytest
import torch
from torch import nn

from benchmarks.attention import Products
from benchmarks.models import multiplications
from dsp_attention.baselines import SoftmaxAttention
from dsp_attention.context import LSTMSummary

BATCH, TOKENS, DIM = 3, 64, 32


@pytest.mark.parametrize(
    ("layer", "each"),
    [
        # q, k, v and the output are products with dim x dim; every pair of tokens is a product for q k^T, one for A v
        (SoftmaxAttention(DIM, num_heads=4), TOKENS * (4 * DIM * DIM + 2 * TOKENS * DIM)),
        # two directions, four gates of eight units each, from 32 channels and from eight units
        (LSTMSummary(DIM, 16), TOKENS * 2 * 4 * 8 * (DIM + 8)),
    ],
    ids=["softmax", "lstm"],
)
def test_multiplications_by_hand(layer: nn.Module, each: int) -> None:
    counted = multiplications(layer.eval(), torch.randn(BATCH, TOKENS, DIM))
    assert counted == pytest.approx(BATCH * each / 1e6)


def test_the_floor_is_all_products_of_a_layer() -> None:
    layer, x = SoftmaxAttention(DIM, num_heads=4).eval(), torch.randn(BATCH, TOKENS, DIM)
    with torch.no_grad():
        with Products() as products:
            layer(x)
        products.again()
    shapes = [(tuple(a.shape), tuple(b.shape), tuple(out.shape)) for _, a, b, out in products.calls]
    rows = BATCH * TOKENS
    assert shapes == [((rows, DIM), (DIM, n * DIM), (rows, n * DIM)) for n in (3, 1)]
    a, b, out = products.calls[0][1:]
    torch.testing.assert_close(out, a @ b)
