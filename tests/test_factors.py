"""What travels to the browser: close to the maps, small, and bounded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import EXAMPLES

import dsp_viz
from dsp_attention import DynamicSpectralPolarityAttention
from dsp_viz import export, factors, maps
from dsp_viz.trace import trace
from dsp_viz.ui.kept import pieces as kept_pieces
from dsp_viz.ui.kept import without_tokens


def test_decodes_to_the_features(model: dsp_viz.Subject) -> None:
    for block in dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks:
        header, decoded = factors.decode(factors.encode(block))
        assert header["format"] == 3
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
