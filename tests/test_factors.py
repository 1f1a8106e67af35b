"""What travels to the browser: close to the maps, small, and bounded."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import EXAMPLES

import dsp_viz
from dsp_attention import DynamicSpectralPolarityAttention, PolaFormerAttention
from dsp_viz import export, factors, maps
from dsp_viz.layer import Finish, Grid, Layer, Scale, Stream, Window
from dsp_viz.trace import trace
from dsp_viz.ui.kept import pieces as kept_pieces
from dsp_viz.ui.kept import without_tokens


def test_decodes_to_the_features(model: dsp_viz.Subject) -> None:
    for block in dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks:
        header, decoded = factors.decode(factors.encode(block))
        assert header["format"] == 4
        assert header["grid"] == [16, 16]
        assert [scale["keys"] for scale in header["scales"]] == [[16, 16], [8, 8], [4, 4]]
        assert [scale["pooled"] for scale in header["scales"]] == [1, 2, 4]
        np.testing.assert_allclose(header["coefficients"], block.coefficients[0])
        np.testing.assert_allclose(header["weights"], block.weights[0])
        for got, scale in zip(decoded, block.scales, strict=True):
            for mine, factor in ((got.left, scale.left), (got.right, scale.right)):
                want = torch.cat([factor[0, 0], factor[1, 0]], -1).numpy()
                np.testing.assert_allclose(mine, want, rtol=2**-11, atol=2e-12 * want.max())


@pytest.mark.parametrize("name", dsp_viz.available())
def test_what_a_server_keeps_draws_the_same_figure(name: str) -> None:
    """Without its tensors over tokens, but with the bytes: the panels are close on the colour scale."""
    model = dsp_viz.load(name)
    result = dsp_viz.analyse(model, EXAMPLES[1])
    kept, pieces = without_tokens(result), kept_pieces(result)
    blocks = [factors.restore(block, pieces[str(b)]) for b, block in enumerate(kept.trace.blocks)]
    again = replace(kept, trace=replace(kept.trace, blocks=tuple(blocks)))
    for query in ((3, 11), "all"):
        want, got = (export.maps_figure(r, block=4, query=query) for r in (result, again))
        assert [t.get_text() for t in got.texts[:3]] == [t.get_text() for t in want.texts[:3]]
        for mine, theirs in zip(got.axes[1:-1], want.axes[1:-1], strict=True):
            panels = [axes.images[0].get_array() for axes in (mine, theirs)]
            # A weight has two factors and a normaliser, each off by 2^-11 at most.
            np.testing.assert_allclose(*panels, rtol=2**-9, atol=theirs.images[0].get_clim()[1] / 1000)


def test_maps_from_the_factors_are_close(model: dsp_viz.Subject) -> None:
    block = dsp_viz.analyse(model, EXAMPLES[3]).trace.blocks[4]
    header, decoded = factors.decode(factors.encode(block))
    (_, other) = (stream["turn"] for stream in header["streams"])
    assert other == header["scales"][0]["width"] // 2
    for query in range(0, 256, 5):
        exact = maps.block_maps(block, (query // 16, query % 16))[0]
        q, k = decoded[0].left.astype(float), decoded[0].right
        swapped = np.roll(q, -other, -1)
        for stream, side in enumerate((q, swapped)):
            scores = np.einsum("hw,hnw->hn", side[:, query], k)
            rows = scores / (scores.mean(1, keepdims=True) + header["epsilon"]) / 256
            want = exact[stream].flatten(1).double().numpy()
            assert (np.abs(rows - want).max(1) <= want.max(1) / 255).all()


def test_bytes_are_those_of_float16_factors(model: dsp_viz.Subject) -> None:
    block = dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks[0]
    assert len(factors.encode(block)) <= 1.02 * 2 * sum(
        scale.left.numel() + scale.right.numel() for scale in block.scales
    )


def layer(finish: Finish, grid: Grid, heads: int, width: int, **of_scale: Any) -> Layer:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(1, 1, heads, grid.rows * grid.columns, width, generator=generator) for _ in range(2))
    ones = torch.ones(1, heads, 1)
    scale = Scale(grid, grid, left, right, torch.zeros(1), **of_scale)
    return Layer("attn", finish, grid, (Stream("all"),), finish, (scale,), ones[..., None], ones, torch.zeros(1))


@pytest.mark.parametrize(
    "block",
    [
        layer("softmax", Grid(14, 14), 6, 64),
        layer("product", Grid(7, 7), 8, 32),
        # Swin's last two stages, the second with one window.
        layer("softmax", Grid(14, 14), 12, 32, window=Window((7, 7), (3, 3), torch.randn(12, 13, 13))),
        layer("softmax", Grid(7, 7), 24, 32, window=Window((7, 7), bias=torch.randn(24, 13, 13))),
    ],
)
def test_each_rule_takes_little_more_than_float16(block: Layer) -> None:
    assert len(factors.encode(block)) <= 1.2 * 2 * (block.scales[0].left.numel() + block.scales[0].right.numel())


def test_features_that_are_positive_and_negative_parts_take_half() -> None:
    torch.manual_seed(0)
    made = PolaFormerAttention(24, 169, 3).double().eval()
    block = trace(made, torch.randn(1, 169, 24, dtype=torch.double)).blocks[0]
    data = factors.encode(block)
    assert len(data) <= 1.2 * (block.scales[0].left.numel() + block.scales[0].right.numel())
    again = factors.restore(factors.without_tokens(block), data)
    for query in ((3, 11), "all"):
        (got,), (want,) = maps.block_maps(again, query), maps.block_maps(block, query)
        torch.testing.assert_close(got.double(), want, rtol=2**-9, atol=1e-9)
    # One place where both are there, and both are stored.
    right = block.scales[0].right.clone()
    right[:, 0, 1, 5, 2] = right.max()
    both = replace(block, scales=(replace(block.scales[0], right=right),))
    (got,) = maps.block_maps(factors.restore(factors.without_tokens(both), factors.encode(both)), (3, 11))
    torch.testing.assert_close(got.double(), maps.block_maps(both, (3, 11))[0], rtol=2**-9, atol=1e-9)
    assert len(factors.encode(both)) > 1.8 * len(data)


def test_large_scores_come_out_right() -> None:
    """As docs/format.md says: weights to 1e-3 of their row's largest with scores up to 50."""
    block = layer("softmax", Grid(14, 14), 3, 64)
    left, right = block.scales[0].left[0, 0].double(), block.scales[0].right[0, 0].double()
    # Channels of very unequal size, as trained transformers have.
    amounts = torch.exp(1.5 * torch.randn(64, generator=torch.Generator().manual_seed(1), dtype=torch.double))
    left *= amounts
    left *= 50 / (left @ right.mT).abs().max()
    made = replace(block, scales=(replace(block.scales[0], left=left[None, None]),))
    _, (found,) = factors.decode(factors.encode(made))
    want, got = (
        torch.softmax(a @ b.mT, -1)
        for a, b in ((left, right), (torch.from_numpy(f).double() for f in (found.left, found.right)))
    )
    assert float(((got - want).abs() / want.amax(-1, keepdim=True)).max()) < 1e-3


def test_grids_need_not_be_square_and_dead_heads_are_finite() -> None:
    layer = DynamicSpectralPolarityAttention(6, 3, num_scales=2).eval()
    with torch.no_grad():
        layer.qkv[0].weight.zero_()
    header, decoded = factors.decode(factors.encode(trace(layer, torch.randn(1, 15, 6), 3, 5).blocks[0]))
    assert [scale["keys"] for scale in header["scales"]] == [[3, 5], [2, 3]]
    assert [(d.left.shape, d.right.shape) for d in decoded] == [((3, 15, 4),) * 2, ((3, 6, 4),) * 2]
    assert not decoded[0].left.any()
    assert not decoded[0].right.any()
    assert decoded[1].right.any()
